-- Signed heads of the tree over the log, as published: a log whose head was never published proves nothing.
create table log_checkpoints (
    size        bigint not null check (size >= 0),
    root        bytea  not null check (octet_length(root) = 32),
    signed_note text   not null,
    made_at     timestamptz not null default clock_timestamp(),
    constraint log_checkpoints_pkey primary key (size, root)
);
