-- A database whose encoding has no Łódź.
create role plain login password 'plain';
create database latin1 encoding 'LATIN1' template template0 locale_provider libc lc_collate 'C' lc_ctype 'C' owner plain
