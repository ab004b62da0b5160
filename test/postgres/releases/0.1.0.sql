CREATE TABLE public.api_keys (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    organization_id uuid NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    hash bytea NOT NULL,
    created_at timestamp(3) with time zone DEFAULT date_trunc('milliseconds'::text, clock_timestamp()) NOT NULL,
    expires_at timestamp(3) with time zone,
    revoked_at timestamp(3) with time zone,
    CONSTRAINT api_keys_hash_check CHECK ((length(hash) = 32)),
    CONSTRAINT api_keys_role_check CHECK ((role = ANY (ARRAY['admin'::text, 'operator'::text, 'viewer'::text, 'worker'::text])))
);

CREATE TABLE public.attempts (
    lease_id uuid NOT NULL,
    job_id uuid NOT NULL,
    number integer NOT NULL,
    attempt integer NOT NULL,
    worker_id text NOT NULL,
    request_id text NOT NULL,
    leased_at timestamp(3) with time zone NOT NULL,
    expires_at timestamp(3) with time zone NOT NULL,
    ended_at timestamp(3) with time zone,
    outcome text,
    reported_at timestamp(3) with time zone,
    error_code text,
    failure_reason text,
    call_duration_ms bigint,
    provider_call_id text,
    CONSTRAINT attempts_attempt_check CHECK ((attempt >= 1)),
    CONSTRAINT ended_has_outcome CHECK (((ended_at IS NULL) = (outcome IS NULL))),
    CONSTRAINT reported_has_ended CHECK (((reported_at IS NULL) OR (ended_at IS NOT NULL)))
);

CREATE TABLE public.batch_jobs (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    organization_id uuid NOT NULL,
    name text NOT NULL,
    description text NOT NULL,
    from_phone_number_id text NOT NULL,
    status text NOT NULL,
    failure_reason text,
    revision bigint DEFAULT 1 NOT NULL,
    timezone text NOT NULL,
    requested_start_time text,
    scheduled_at timestamp(3) with time zone,
    scheduled_job_id uuid,
    created_at timestamp(3) with time zone DEFAULT date_trunc('milliseconds'::text, clock_timestamp()) NOT NULL,
    updated_at timestamp(3) with time zone DEFAULT date_trunc('milliseconds'::text, clock_timestamp()) NOT NULL,
    started_at timestamp(3) with time zone,
    finished_at timestamp(3) with time zone,
    start_lag_ms bigint,
    concurrent_call_limit integer NOT NULL,
    max_attempts integer NOT NULL,
    retry_on text[] NOT NULL,
    retry_delays_ms bigint[] NOT NULL,
    total_contacts integer DEFAULT 0 NOT NULL,
    pending_contacts integer DEFAULT 0 NOT NULL,
    dialing_contacts integer DEFAULT 0 NOT NULL,
    waiting_retry_contacts integer DEFAULT 0 NOT NULL,
    completed_contacts integer DEFAULT 0 NOT NULL,
    no_answer_contacts integer DEFAULT 0 NOT NULL,
    busy_contacts integer DEFAULT 0 NOT NULL,
    timeout_contacts integer DEFAULT 0 NOT NULL,
    voicemail_contacts integer DEFAULT 0 NOT NULL,
    blocked_contacts integer DEFAULT 0 NOT NULL,
    invalid_number_contacts integer DEFAULT 0 NOT NULL,
    carrier_error_contacts integer DEFAULT 0 NOT NULL,
    failed_contacts integer DEFAULT 0 NOT NULL,
    unknown_contacts integer DEFAULT 0 NOT NULL,
    CONSTRAINT batch_jobs_blocked_contacts_check CHECK ((blocked_contacts >= 0)),
    CONSTRAINT batch_jobs_busy_contacts_check CHECK ((busy_contacts >= 0)),
    CONSTRAINT batch_jobs_carrier_error_contacts_check CHECK ((carrier_error_contacts >= 0)),
    CONSTRAINT batch_jobs_completed_contacts_check CHECK ((completed_contacts >= 0)),
    CONSTRAINT batch_jobs_concurrent_call_limit_check CHECK (((concurrent_call_limit >= 1) AND (concurrent_call_limit <= 1000))),
    CONSTRAINT batch_jobs_dialing_contacts_check CHECK ((dialing_contacts >= 0)),
    CONSTRAINT batch_jobs_failed_contacts_check CHECK ((failed_contacts >= 0)),
    CONSTRAINT batch_jobs_invalid_number_contacts_check CHECK ((invalid_number_contacts >= 0)),
    CONSTRAINT batch_jobs_max_attempts_check CHECK (((max_attempts >= 1) AND (max_attempts <= 10))),
    CONSTRAINT batch_jobs_no_answer_contacts_check CHECK ((no_answer_contacts >= 0)),
    CONSTRAINT batch_jobs_pending_contacts_check CHECK ((pending_contacts >= 0)),
    CONSTRAINT batch_jobs_timeout_contacts_check CHECK ((timeout_contacts >= 0)),
    CONSTRAINT batch_jobs_unknown_contacts_check CHECK ((unknown_contacts >= 0)),
    CONSTRAINT batch_jobs_voicemail_contacts_check CHECK ((voicemail_contacts >= 0)),
    CONSTRAINT batch_jobs_waiting_retry_contacts_check CHECK ((waiting_retry_contacts >= 0)),
    CONSTRAINT counts_add_up CHECK ((total_contacts = ((((((((((((pending_contacts + dialing_contacts) + waiting_retry_contacts) + completed_contacts) + no_answer_contacts) + busy_contacts) + timeout_contacts) + voicemail_contacts) + blocked_contacts) + invalid_number_contacts) + carrier_error_contacts) + failed_contacts) + unknown_contacts))),
    CONSTRAINT dialing_needs_start CHECK (((dialing_contacts = 0) OR (started_at IS NOT NULL))),
    CONSTRAINT failed_has_reason CHECK (((status = 'failed'::text) = (failure_reason IS NOT NULL))),
    CONSTRAINT final_has_time CHECK (((status = ANY (ARRAY['completed'::text, 'failed'::text, 'cancelled'::text])) = (finished_at IS NOT NULL))),
    CONSTRAINT lag_needs_start CHECK (((start_lag_ms IS NULL) OR ((start_lag_ms >= 0) AND (scheduled_at IS NOT NULL)))),
    CONSTRAINT scheduled_has_entry CHECK ((((status = 'scheduled'::text) = (scheduled_job_id IS NOT NULL)) AND ((scheduled_job_id IS NULL) OR (scheduled_at IS NOT NULL)))),
    CONSTRAINT started_has_time CHECK (
CASE
    WHEN (status = ANY (ARRAY['pending'::text, 'scheduled'::text])) THEN (started_at IS NULL)
    WHEN (status = ANY (ARRAY['running'::text, 'paused'::text, 'completed'::text])) THEN (started_at IS NOT NULL)
    ELSE true
END),
    CONSTRAINT status_is_known CHECK ((status = ANY (ARRAY['pending'::text, 'scheduled'::text, 'running'::text, 'paused'::text, 'completed'::text, 'failed'::text, 'cancelled'::text])))
);

CREATE TABLE public.contacts (
    job_id uuid NOT NULL,
    number integer NOT NULL,
    phone text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    fields jsonb NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    last_outcome text,
    next_attempt_at timestamp(3) with time zone,
    CONSTRAINT contacts_attempts_check CHECK ((attempts >= 0)),
    CONSTRAINT contacts_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'dialing'::text, 'waiting_retry'::text, 'completed'::text, 'no_answer'::text, 'busy'::text, 'timeout'::text, 'voicemail'::text, 'blocked'::text, 'invalid_number'::text, 'carrier_error'::text, 'failed'::text, 'unknown'::text]))),
    CONSTRAINT waiting_has_time CHECK (((status = 'waiting_retry'::text) = (next_attempt_at IS NOT NULL)))
);

CREATE TABLE public.deleted_jobs (
    job_id uuid NOT NULL,
    last_number integer NOT NULL
);

CREATE TABLE public.organizations (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text NOT NULL,
    created_at timestamp(3) with time zone DEFAULT date_trunc('milliseconds'::text, clock_timestamp()) NOT NULL,
    lease_limit integer DEFAULT 100 NOT NULL,
    dialing integer DEFAULT 0 NOT NULL,
    CONSTRAINT organizations_dialing_check CHECK ((dialing >= 0)),
    CONSTRAINT organizations_lease_limit_check CHECK ((lease_limit >= 1)),
    CONSTRAINT organizations_name_check CHECK ((name <> ''::text))
);

CREATE TABLE public.requests (
    organization_id uuid NOT NULL,
    rpc text NOT NULL,
    request_id text NOT NULL,
    fingerprint bytea NOT NULL,
    answer jsonb,
    entry_removed boolean,
    created_at timestamp(3) with time zone DEFAULT date_trunc('milliseconds'::text, clock_timestamp()) NOT NULL
);

CREATE TABLE public.retries (
    job_id uuid NOT NULL,
    number integer NOT NULL,
    due_at timestamp(3) with time zone NOT NULL
);

CREATE TABLE public.schema_migrations (
    name character varying(255) NOT NULL,
    "timestamp" character varying(255) NOT NULL
);

CREATE TABLE public.schema_migrations_lock (
    id character varying(255) NOT NULL,
    is_locked integer DEFAULT 0 NOT NULL
);

INSERT INTO public.api_keys VALUES ('d4941bb7-b0d8-41a7-9829-d4ac1e4ab366', '704a21b0-9fb9-4868-8636-6e5c4001e473', 'bootstrap', 'admin', '\x04adda6c59c0e4b33d20e41a098411c2dab234fd8c52e4c255fcb96058c560ca', '2026-11-22 11:53:54.691+00', NULL, NULL);

INSERT INTO public.attempts VALUES ('245c32ac-7d7b-4ddb-9ea7-58e0d0d99f5e', 'f12c0b23-8cdf-431a-84b0-bd648879b17e', 1, 1, 'worker', '', '2026-11-22 11:53:56.505+00', '2026-11-22 11:55:56.505+00', '2026-11-22 11:53:56.545+00', 'completed', '2026-11-22 11:53:56.545+00', '', '', NULL, '');
INSERT INTO public.attempts VALUES ('86e23746-906f-4aa3-84b2-517a3e6c3b71', 'f12c0b23-8cdf-431a-84b0-bd648879b17e', 2, 1, 'worker', '', '2026-11-22 11:53:56.505+00', '2026-11-22 11:55:56.505+00', '2026-11-22 11:53:56.545+00', 'busy', '2026-11-22 11:53:56.545+00', '', '', NULL, '');
INSERT INTO public.attempts VALUES ('06ace0ec-5582-451d-abb8-1078fdbe5304', 'f12c0b23-8cdf-431a-84b0-bd648879b17e', 3, 1, 'worker', '', '2026-11-22 11:53:56.505+00', '2026-11-22 11:55:56.505+00', '2026-11-22 11:53:56.545+00', 'voicemail', '2026-11-22 11:53:56.545+00', '', '', NULL, '');
INSERT INTO public.attempts VALUES ('81cbbc55-14a1-4ac8-9b11-4a743743ec25', 'f12c0b23-8cdf-431a-84b0-bd648879b17e', 4, 1, 'worker', '', '2026-11-22 11:53:56.571+00', '2026-11-22 11:55:56.571+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.attempts VALUES ('18ac74e8-1222-4258-b120-77991469f9ae', 'f12c0b23-8cdf-431a-84b0-bd648879b17e', 5, 1, 'worker', '', '2026-11-22 11:53:56.571+00', '2026-11-22 11:55:56.571+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.attempts VALUES ('68df455d-3035-4b70-9948-1df2ffab908d', '158d998d-9754-46e0-8eb9-c0dace5a5919', 1, 1, 'worker', '', '2026-11-22 11:53:56.783+00', '2026-11-22 11:55:56.783+00', '2026-11-22 11:53:56.799+00', 'completed', '2026-11-22 11:53:56.799+00', '', '', NULL, '');
INSERT INTO public.attempts VALUES ('226e4da0-9bdd-49d3-a94f-233dd1103a0f', '158d998d-9754-46e0-8eb9-c0dace5a5919', 2, 1, 'worker', '', '2026-11-22 11:53:56.783+00', '2026-11-22 11:55:56.783+00', '2026-11-22 11:53:56.799+00', 'completed', '2026-11-22 11:53:56.799+00', '', '', NULL, '');
INSERT INTO public.attempts VALUES ('41a9284f-77ed-46ce-97e4-98cde9628ce9', 'fef95f12-213a-4a0c-8993-39ee04aa0752', 1, 1, 'worker', '', '2026-11-22 11:53:56.945+00', '2026-11-22 11:55:56.945+00', '2026-11-22 11:53:56.986+00', 'invalid_number', '2026-11-22 11:53:56.986+00', '', '', NULL, '');

INSERT INTO public.batch_jobs VALUES ('e144371d-340c-4e99-b493-13c47e0e7e66', '704a21b0-9fb9-4868-8636-6e5c4001e473', 'pending', '', 'pn_1', 'pending', NULL, 1, 'UTC', NULL, NULL, NULL, '2026-11-22 11:53:55.895+00', '2026-11-22 11:53:55.895+00', NULL, NULL, NULL, 5, 3, '{busy}', '{300000,1800000}', 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO public.batch_jobs VALUES ('14fccc56-e2cd-4937-b0e7-e0e66c8b9d6a', '704a21b0-9fb9-4868-8636-6e5c4001e473', 'scheduled', '', 'pn_1', 'scheduled', NULL, 1, 'UTC', '2199-01-01T10:00:00', '2199-01-01 10:00:00+00', 'b504df26-7db9-4fc1-bbdb-3a7d9fc03b6c', '2026-11-22 11:53:56.128+00', '2026-11-22 11:53:56.128+00', NULL, NULL, NULL, 5, 3, '{busy}', '{300000,1800000}', 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO public.batch_jobs VALUES ('f12c0b23-8cdf-431a-84b0-bd648879b17e', '704a21b0-9fb9-4868-8636-6e5c4001e473', 'running', '', 'pn_1', 'running', NULL, 2, 'UTC', NULL, NULL, NULL, '2026-11-22 11:53:56.21+00', '2026-11-22 11:53:56.292+00', '2026-11-22 11:53:56.292+00', NULL, NULL, 5, 3, '{busy}', '{300000,1800000}', 10, 5, 2, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0);
INSERT INTO public.batch_jobs VALUES ('0cd36f27-59f5-4f7d-80df-f4200c839fdd', '704a21b0-9fb9-4868-8636-6e5c4001e473', 'paused', '', 'pn_1', 'paused', NULL, 3, 'UTC', NULL, NULL, NULL, '2026-11-22 11:53:56.6+00', '2026-11-22 11:53:56.669+00', '2026-11-22 11:53:56.631+00', NULL, NULL, 5, 3, '{busy}', '{300000,1800000}', 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO public.batch_jobs VALUES ('158d998d-9754-46e0-8eb9-c0dace5a5919', '704a21b0-9fb9-4868-8636-6e5c4001e473', 'completed', '', 'pn_1', 'completed', NULL, 3, 'UTC', NULL, NULL, NULL, '2026-11-22 11:53:56.709+00', '2026-11-22 11:53:56.813+00', '2026-11-22 11:53:56.748+00', '2026-11-22 11:53:56.813+00', NULL, 5, 3, '{busy}', '{300000,1800000}', 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO public.batch_jobs VALUES ('fef95f12-213a-4a0c-8993-39ee04aa0752', '704a21b0-9fb9-4868-8636-6e5c4001e473', 'failed', '', 'pn_1', 'failed', 'no_call_completed', 3, 'UTC', NULL, NULL, NULL, '2026-11-22 11:53:56.831+00', '2026-11-22 11:53:56.998+00', '2026-11-22 11:53:56.872+00', '2026-11-22 11:53:56.998+00', NULL, 5, 3, '{busy}', '{300000,1800000}', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0);
INSERT INTO public.batch_jobs VALUES ('40293c0d-0a14-4c47-81bf-119bfc52b09c', '704a21b0-9fb9-4868-8636-6e5c4001e473', 'cancelled', '', 'pn_1', 'cancelled', NULL, 3, 'UTC', NULL, NULL, NULL, '2026-11-22 11:53:57.021+00', '2026-11-22 11:53:57.074+00', '2026-11-22 11:53:57.047+00', '2026-11-22 11:53:57.074+00', NULL, 5, 3, '{busy}', '{300000,1800000}', 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO public.batch_jobs VALUES ('a6eee862-c042-42d7-a6ec-2241ebefcacb', '704a21b0-9fb9-4868-8636-6e5c4001e473', 'due', '', 'pn_1', 'running', NULL, 2, 'UTC', '2026-11-22T11:53:57.450Z', '2026-11-22 11:53:57.45+00', NULL, '2026-11-22 11:53:57.175+00', '2026-11-22 11:53:57.456+00', '2026-11-22 11:53:57.456+00', NULL, 6, 5, 3, '{busy}', '{300000,1800000}', 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

INSERT INTO public.contacts VALUES ('e144371d-340c-4e99-b493-13c47e0e7e66', 1, '+14155551000', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('e144371d-340c-4e99-b493-13c47e0e7e66', 2, '+14155551001', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('e144371d-340c-4e99-b493-13c47e0e7e66', 3, '+14155551002', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('14fccc56-e2cd-4937-b0e7-e0e66c8b9d6a', 1, '+14155551000', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('14fccc56-e2cd-4937-b0e7-e0e66c8b9d6a', 2, '+14155551001', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('14fccc56-e2cd-4937-b0e7-e0e66c8b9d6a', 3, '+14155551002', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('f12c0b23-8cdf-431a-84b0-bd648879b17e', 6, '+14155551005', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('f12c0b23-8cdf-431a-84b0-bd648879b17e', 7, '+14155551006', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('f12c0b23-8cdf-431a-84b0-bd648879b17e', 8, '+14155551007', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('f12c0b23-8cdf-431a-84b0-bd648879b17e', 9, '+14155551008', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('f12c0b23-8cdf-431a-84b0-bd648879b17e', 10, '+14155551009', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('f12c0b23-8cdf-431a-84b0-bd648879b17e', 1, '+14155551000', '', '{}', 'completed', 1, 'completed', NULL);
INSERT INTO public.contacts VALUES ('f12c0b23-8cdf-431a-84b0-bd648879b17e', 2, '+14155551001', '', '{}', 'waiting_retry', 1, 'busy', '2026-11-22 11:58:56.545+00');
INSERT INTO public.contacts VALUES ('f12c0b23-8cdf-431a-84b0-bd648879b17e', 3, '+14155551002', '', '{}', 'voicemail', 1, 'voicemail', NULL);
INSERT INTO public.contacts VALUES ('f12c0b23-8cdf-431a-84b0-bd648879b17e', 4, '+14155551003', '', '{}', 'dialing', 1, NULL, NULL);
INSERT INTO public.contacts VALUES ('f12c0b23-8cdf-431a-84b0-bd648879b17e', 5, '+14155551004', '', '{}', 'dialing', 1, NULL, NULL);
INSERT INTO public.contacts VALUES ('0cd36f27-59f5-4f7d-80df-f4200c839fdd', 1, '+14155551000', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('0cd36f27-59f5-4f7d-80df-f4200c839fdd', 2, '+14155551001', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('0cd36f27-59f5-4f7d-80df-f4200c839fdd', 3, '+14155551002', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('158d998d-9754-46e0-8eb9-c0dace5a5919', 1, '+14155551000', '', '{}', 'completed', 1, 'completed', NULL);
INSERT INTO public.contacts VALUES ('158d998d-9754-46e0-8eb9-c0dace5a5919', 2, '+14155551001', '', '{}', 'completed', 1, 'completed', NULL);
INSERT INTO public.contacts VALUES ('fef95f12-213a-4a0c-8993-39ee04aa0752', 1, '+14155551000', '', '{}', 'invalid_number', 1, 'invalid_number', NULL);
INSERT INTO public.contacts VALUES ('40293c0d-0a14-4c47-81bf-119bfc52b09c', 1, '+14155551000', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('40293c0d-0a14-4c47-81bf-119bfc52b09c', 2, '+14155551001', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('40293c0d-0a14-4c47-81bf-119bfc52b09c', 3, '+14155551002', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('510acf60-de0f-4701-a3fa-425dc4e72df6', 1, '+14155551000', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('510acf60-de0f-4701-a3fa-425dc4e72df6', 2, '+14155551001', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('510acf60-de0f-4701-a3fa-425dc4e72df6', 3, '+14155551002', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('a6eee862-c042-42d7-a6ec-2241ebefcacb', 1, '+14155551000', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('a6eee862-c042-42d7-a6ec-2241ebefcacb', 2, '+14155551001', '', '{}', 'pending', 0, NULL, NULL);
INSERT INTO public.contacts VALUES ('a6eee862-c042-42d7-a6ec-2241ebefcacb', 3, '+14155551002', '', '{}', 'pending', 0, NULL, NULL);

INSERT INTO public.deleted_jobs VALUES ('510acf60-de0f-4701-a3fa-425dc4e72df6', 3);

INSERT INTO public.organizations VALUES ('704a21b0-9fb9-4868-8636-6e5c4001e473', 'default', '2026-11-22 11:53:54.678+00', 100, 2);

INSERT INTO public.requests VALUES ('704a21b0-9fb9-4868-8636-6e5c4001e473', 'StartBatchJob', 'start failed', '\xe1e7ecf5b5786bb60e58d2061cac71de66a8165ab3537417a7eb4603571f0fe0', '{"job": {"id": "fef95f12-213a-4a0c-8993-39ee04aa0752", "organizationId": "704a21b0-9fb9-4868-8636-6e5c4001e473"}, "revision": 2, "startedAtMs": 1795348436872, "statusBefore": "pending", "scheduledJobId": null, "contactsEnqueued": 1}', false, '2026-11-22 11:53:56.862+00');
INSERT INTO public.requests VALUES ('704a21b0-9fb9-4868-8636-6e5c4001e473', 'CreateBatchJob', 'pending', '\x281746e10de30509035d462dd97fa92668ee41a5f08d9153df95b4c7d1e1e4b7', '{"dueMs": null, "status": "pending", "rejected": [], "batchJobId": "e144371d-340c-4e99-b493-13c47e0e7e66", "rejectedCount": 0, "totalContacts": 3, "scheduledJobId": null}', false, '2026-11-22 11:53:55.888+00');
INSERT INTO public.requests VALUES ('704a21b0-9fb9-4868-8636-6e5c4001e473', 'CreateBatchJob', 'scheduled', '\xe08bcd024686e2e4ca301cc7184119edcf945dae97985b63650c6780e3075f51', '{"dueMs": 7226618400000, "status": "scheduled", "rejected": [], "batchJobId": "14fccc56-e2cd-4937-b0e7-e0e66c8b9d6a", "rejectedCount": 0, "totalContacts": 3, "scheduledJobId": "b504df26-7db9-4fc1-bbdb-3a7d9fc03b6c"}', false, '2026-11-22 11:53:56.003+00');
INSERT INTO public.requests VALUES ('704a21b0-9fb9-4868-8636-6e5c4001e473', 'CreateBatchJob', 'running', '\xe97c556a9cdc5bd22485cdac2b6d736b504baa947ee698cdf92aed01062eafcc', '{"dueMs": null, "status": "pending", "rejected": [], "batchJobId": "f12c0b23-8cdf-431a-84b0-bd648879b17e", "rejectedCount": 0, "totalContacts": 10, "scheduledJobId": null}', false, '2026-11-22 11:53:56.201+00');
INSERT INTO public.requests VALUES ('704a21b0-9fb9-4868-8636-6e5c4001e473', 'CreateBatchJob', 'cancelled', '\x68ce59c6ebd79d7a3427696a48698d19f01425d107800a2b2adc263db62facce', '{"dueMs": null, "status": "pending", "rejected": [], "batchJobId": "40293c0d-0a14-4c47-81bf-119bfc52b09c", "rejectedCount": 0, "totalContacts": 3, "scheduledJobId": null}', false, '2026-11-22 11:53:57.018+00');
INSERT INTO public.requests VALUES ('704a21b0-9fb9-4868-8636-6e5c4001e473', 'StartBatchJob', 'start running', '\x75844e916b7b8670cf3b39deff2479b05cad8f904809e299cbd025810c4ae604', '{"job": {"id": "f12c0b23-8cdf-431a-84b0-bd648879b17e", "organizationId": "704a21b0-9fb9-4868-8636-6e5c4001e473"}, "revision": 2, "startedAtMs": 1795348436292, "statusBefore": "pending", "scheduledJobId": null, "contactsEnqueued": 10}', false, '2026-11-22 11:53:56.277+00');
INSERT INTO public.requests VALUES ('704a21b0-9fb9-4868-8636-6e5c4001e473', 'CreateBatchJob', 'paused', '\xea01cc5f0a67a347a3f781f6137491b5b186a1e775e97c83b9c7715e36fc5e1e', '{"dueMs": null, "status": "pending", "rejected": [], "batchJobId": "0cd36f27-59f5-4f7d-80df-f4200c839fdd", "rejectedCount": 0, "totalContacts": 3, "scheduledJobId": null}', false, '2026-11-22 11:53:56.599+00');
INSERT INTO public.requests VALUES ('704a21b0-9fb9-4868-8636-6e5c4001e473', 'StartBatchJob', 'start paused', '\xcf32b1d25ba7e41703d612bd9504a398fb3f7824a60ecae95d4fe5e9723b76e3', '{"job": {"id": "0cd36f27-59f5-4f7d-80df-f4200c839fdd", "organizationId": "704a21b0-9fb9-4868-8636-6e5c4001e473"}, "revision": 2, "startedAtMs": 1795348436631, "statusBefore": "pending", "scheduledJobId": null, "contactsEnqueued": 3}', false, '2026-11-22 11:53:56.623+00');
INSERT INTO public.requests VALUES ('704a21b0-9fb9-4868-8636-6e5c4001e473', 'StartBatchJob', 'start cancelled', '\x1864b0c34ff8651ffc9156ad08b8af204429aa3ef7cb51858f48ad49983a5bfc', '{"job": {"id": "40293c0d-0a14-4c47-81bf-119bfc52b09c", "organizationId": "704a21b0-9fb9-4868-8636-6e5c4001e473"}, "revision": 2, "startedAtMs": 1795348437047, "statusBefore": "pending", "scheduledJobId": null, "contactsEnqueued": 3}', false, '2026-11-22 11:53:57.045+00');
INSERT INTO public.requests VALUES ('704a21b0-9fb9-4868-8636-6e5c4001e473', 'CreateBatchJob', 'completed', '\xeb64e94c7d0982bbc40951a8e9d18aa9d7e3aaf34744f627bb11707660f5c9ff', '{"dueMs": null, "status": "pending", "rejected": [], "batchJobId": "158d998d-9754-46e0-8eb9-c0dace5a5919", "rejectedCount": 0, "totalContacts": 2, "scheduledJobId": null}', false, '2026-11-22 11:53:56.705+00');
INSERT INTO public.requests VALUES ('704a21b0-9fb9-4868-8636-6e5c4001e473', 'StartBatchJob', 'start completed', '\x24eaa4f3be7dada023422aad29f2bf8af7d47342295ece5742ff654ca9974586', '{"job": {"id": "158d998d-9754-46e0-8eb9-c0dace5a5919", "organizationId": "704a21b0-9fb9-4868-8636-6e5c4001e473"}, "revision": 2, "startedAtMs": 1795348436748, "statusBefore": "pending", "scheduledJobId": null, "contactsEnqueued": 2}', false, '2026-11-22 11:53:56.743+00');
INSERT INTO public.requests VALUES ('704a21b0-9fb9-4868-8636-6e5c4001e473', 'CreateBatchJob', 'failed', '\x174c2bcf0894c64eec6f014059387a788f32de7a6b858cfc77e96647dff1ceea', '{"dueMs": null, "status": "pending", "rejected": [], "batchJobId": "fef95f12-213a-4a0c-8993-39ee04aa0752", "rejectedCount": 0, "totalContacts": 1, "scheduledJobId": null}', false, '2026-11-22 11:53:56.827+00');
INSERT INTO public.requests VALUES ('704a21b0-9fb9-4868-8636-6e5c4001e473', 'CreateBatchJob', 'deleted', '\x38e6b41f36e0c7bbbff16c65411eed7567f7a6117cd67586c3cdd5d6c02b8938', '{"dueMs": null, "status": "pending", "rejected": [], "batchJobId": "510acf60-de0f-4701-a3fa-425dc4e72df6", "rejectedCount": 0, "totalContacts": 3, "scheduledJobId": null}', false, '2026-11-22 11:53:57.092+00');
INSERT INTO public.requests VALUES ('704a21b0-9fb9-4868-8636-6e5c4001e473', 'CreateBatchJob', 'due', '\x84ba1ac2cc59c541fbe6464ed31096cb4c4cf7b8d745c091a46012839f8f2574', '{"dueMs": 1795348437450, "status": "scheduled", "rejected": [], "batchJobId": "a6eee862-c042-42d7-a6ec-2241ebefcacb", "rejectedCount": 0, "totalContacts": 3, "scheduledJobId": "8267423c-479e-41bc-bdb4-1012162113ab"}', false, '2026-11-22 11:53:57.166+00');

INSERT INTO public.retries VALUES ('f12c0b23-8cdf-431a-84b0-bd648879b17e', 2, '2026-11-22 11:58:56.545+00');

INSERT INTO public.schema_migrations VALUES ('0001-batch-jobs', '2026-11-22T11:53:54.556Z');
INSERT INTO public.schema_migrations VALUES ('0002-leases', '2026-11-22T11:53:54.669Z');

INSERT INTO public.schema_migrations_lock VALUES ('migration_lock', 0);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_hash_key UNIQUE (hash);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT attempts_job_id_number_attempt_key UNIQUE (job_id, number, attempt);

ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (lease_id);

ALTER TABLE ONLY public.batch_jobs
    ADD CONSTRAINT batch_jobs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_pkey PRIMARY KEY (job_id, number);

ALTER TABLE ONLY public.deleted_jobs
    ADD CONSTRAINT deleted_jobs_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY public.organizations
    ADD CONSTRAINT organizations_name_key UNIQUE (name);

ALTER TABLE ONLY public.organizations
    ADD CONSTRAINT organizations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.requests
    ADD CONSTRAINT requests_pkey PRIMARY KEY (organization_id, rpc, request_id);

ALTER TABLE ONLY public.retries
    ADD CONSTRAINT retries_pkey PRIMARY KEY (job_id, number);

ALTER TABLE ONLY public.schema_migrations_lock
    ADD CONSTRAINT schema_migrations_lock_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (name);

CREATE INDEX attempts_live ON public.attempts USING btree (expires_at) WHERE (ended_at IS NULL);

CREATE INDEX attempts_live_by_request ON public.attempts USING btree (request_id) WHERE ((ended_at IS NULL) AND (request_id <> ''::text));

CREATE INDEX batch_jobs_due ON public.batch_jobs USING btree (scheduled_at, id) WHERE (status = 'scheduled'::text);

CREATE INDEX batch_jobs_newest ON public.batch_jobs USING btree (organization_id, created_at DESC, id DESC);

CREATE INDEX batch_jobs_of_organization_running ON public.batch_jobs USING btree (organization_id, id) WHERE (status = 'running'::text);

CREATE INDEX batch_jobs_running ON public.batch_jobs USING btree (id) WHERE (status = 'running'::text);

CREATE UNIQUE INDEX batch_jobs_scheduled_job_id ON public.batch_jobs USING btree (scheduled_job_id) WHERE (status = 'scheduled'::text);

CREATE UNIQUE INDEX contacts_phone ON public.contacts USING btree (job_id, phone);

CREATE INDEX requests_created_at ON public.requests USING btree (created_at);

CREATE INDEX retries_due ON public.retries USING btree (job_id, due_at);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.batch_jobs
    ADD CONSTRAINT batch_jobs_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);
