import { sql } from "kysely";
import type { EventType } from "../../src/domain/event.ts";
import type { Database } from "../../src/postgres/connections/database.ts";

/*
 * The history is append-only and comes from two sides. Postgres writes down, by triggers and in the transaction that
 * does it, every change of a job's status and of a contact's, and how every lease begins and ends. The clients write
 * down what they asked, what they were answered, and how long that took. The oracle reads both.
 */

const statements = [
  sql`create schema history`,
  sql`
    create table history.events (
      id bigserial primary key,
      at timestamptz not null default clock_timestamp(),
      asked_at timestamptz not null default statement_timestamp(),
      kind text not null,
      job_id uuid not null,
      organization_id int,
      number int,
      attempt int,
      nonce bigint,
      was text,
      is_now text,
      due_at timestamptz,
      start_lag_ms bigint
    )`,
  // What the oracle looks up for each lease.
  sql`create index on history.events (job_id, id) where kind = 'job'`,
  sql`create index on history.events (job_id, number, id) where kind = 'contact'`,
  sql`
    create function history.note_job() returns trigger language plpgsql as $$ begin
      if tg_op = 'DELETE' then
        insert into history.events (kind, job_id, organization_id, was) values ('job', old.id, old.organization_id, old.status);
      elsif tg_op = 'INSERT' then
        insert into history.events (kind, job_id, organization_id, is_now, due_at)
        values ('job', new.id, new.organization_id, new.status, new.scheduled_at);
      else
        insert into history.events (kind, job_id, organization_id, was, is_now, due_at, start_lag_ms)
        values ('job', new.id, new.organization_id, old.status, new.status, old.scheduled_at, new.start_lag_ms);
      end if;
      return null;
    end $$`,
  sql`create trigger history_job_comes_and_goes after insert or delete on batch_jobs
      for each row execute function history.note_job()`,
  sql`create trigger history_job_changes after update on batch_jobs for each row
      when (old.status <> new.status or old.scheduled_job_id is distinct from new.scheduled_job_id)
      execute function history.note_job()`,
  sql`
    create function history.status_after(a attempts) returns text language sql as $$
      select case when a.next_attempt_at is null then a.outcome else 'waiting_retry' end
    $$`,
  sql`
    create function history.note_contact() returns trigger language plpgsql as $$ begin
      insert into history.events (kind, job_id, number, attempt, was, is_now, due_at)
      values ('contact', new.job_id, new.number, new.attempt, case
          when tg_op = 'UPDATE' then history.status_after(old)
          when new.attempt = 1 then 'pending'
          else (select history.status_after(a) from attempts a
            where organization_id = new.organization_id and job_id = new.job_id and number = new.number
              and attempt = new.attempt - 1)
        end, history.status_after(new), new.next_attempt_at);
      return null;
    end $$`,
  sql`create trigger history_contact_is_called after insert on attempts
      for each row execute function history.note_contact()`,
  sql`create trigger history_contact_changes after update on attempts for each row
      when (old.outcome <> new.outcome or old.next_attempt_at is distinct from new.next_attempt_at)
      execute function history.note_contact()`,
  sql`
    create function history.note_lease() returns trigger language plpgsql as $$ declare
      reached text;
    begin
      if tg_op = 'INSERT' then
        insert into history.events (kind, job_id, number, attempt, nonce)
        values ('opened', new.job_id, new.number, new.attempt, new.nonce);
        return null;
      end if;
      select outcome into reached from attempts
      where organization_id = old.organization_id and job_id = old.job_id and number = old.number
        and attempt = old.attempt and nonce = old.nonce;
      insert into history.events (kind, job_id, number, attempt, nonce, is_now)
      values (case when reached is null then 'released' else 'ended' end, old.job_id, old.number, old.attempt, old.nonce,
        reached);
      return null;
    end $$`,
  sql`create trigger history_lease after insert or delete on leases
      for each row execute function history.note_lease()`,
  sql`
    create function history.note_correction() returns trigger language plpgsql as $$ begin
      insert into history.events (kind, job_id, number, attempt, nonce, was, is_now)
      values ('corrected', new.job_id, new.number, new.attempt, new.nonce, old.outcome, new.outcome);
      return null;
    end $$`,
  sql`create trigger history_attempt after update on attempts for each row
      when (old.outcome <> new.outcome) execute function history.note_correction()`,
];

/** Has Postgres write down what happens from now on. */
export async function installHistory(db: Database): Promise<void> {
  for (const statement of statements) await statement.execute(db);
}

/** One try of one RPC, as its client saw it. */
export type Tried = {
  readonly at: number;
  readonly rpc: string;
  readonly replica: string;
  readonly ms: number;
  /** `ok`, the reason of a refusal, or the Connect code of anything else. */
  readonly end: string;
  /** What the client was told beside that, if it did not end well. */
  readonly why?: string;
};

/**
 * A contact that a worker believes to hold, by what it was answered: from the answer that gave it, until it says that
 * it is done with it, is told that it is gone, or the time that it was told is over. In ms of the clock of all.
 */
export type Held = {
  readonly worker: string;
  readonly jobId: string;
  readonly number: number;
  readonly leaseId: string;
  readonly fromMs: number;
  untilMs: number;
};

/** What a client was told, and what therefore must be so in the end. */
export type Told =
  | { readonly kind: "contacts"; readonly jobId: string; readonly total: number }
  | { readonly kind: "started" | "cancelled"; readonly jobId: string }
  | { readonly kind: "updated"; readonly jobId: string; readonly limit: number }
  | {
      readonly kind: "reported";
      readonly leaseId: string;
      readonly outcome: string;
      readonly result: "recorded" | "already_recorded" | "lease_expired";
    }
  | { readonly kind: "released"; readonly leaseId: string }
  | { readonly kind: "erased"; readonly phone: string }
  | Suppressed;

/** Phones that nobody calls: from the answer that said so until somebody asks to take them off the list, in unix ms. */
export type Suppressed = {
  readonly kind: "suppressed";
  readonly phones: readonly string[];
  readonly fromMs: number;
  untilMs: number;
};

/** An endpoint of webhooks, and all that came to its receiver. */
export type ToldEndpoint = {
  readonly id: string;
  readonly name: string;
  /** False for one that never takes anything. */
  readonly lives: boolean;
  /** What it asks for; none is everything. */
  readonly types: readonly EventType[];
  readonly received: { readonly id: string; readonly body: string; isTaken: boolean }[];
};

/** A time in which the clock that hours go by was so far ahead of the real one, in unix ms. */
export type Moved = { readonly fromMs: number; untilMs: number; readonly aheadMs: number };

/** The clients' side of the history. */
export type History = {
  readonly tried: Tried[];
  readonly told: Told[];
  readonly held: Held[];
  readonly endpoints: ToldEndpoint[];
  readonly moved: Moved[];
  /** What must not happen and did, as the clients saw it. */
  readonly wrong: string[];
};

export const createHistory = (): History => ({
  tried: [],
  told: [],
  held: [],
  endpoints: [],
  moved: [],
  wrong: [],
});
