-- A role that may connect and nothing else, as Postgres 15 and newer have it.
create role plain login password 'plain';
create database first_start
