-- What makes the signed heads of the log mean something.
--
-- `log_keys` is the one key whose heads this log has published: a node that holds another one must not sign, or
-- readers would see two logs under one name. `log_tiles` keeps the inner hashes of the tree, so that a proof about
-- any of ten million events reads a few rows: a full tile has 256 hashes of one level, level 0 being the leaves, and
-- its own root is one hash of the level above. Tiles follow from `event_log` and are written outside of sealing.
create table log_keys (
    only_row     boolean     not null default true primary key check (only_row),
    -- `<name>+<hash>+<base64>`, as the format for signed notes of C2SP writes it.
    verifier_key text        not null,
    made_at      timestamptz not null default clock_timestamp()
);

create table log_tiles (
    level  smallint not null check (level >= 0),
    index  bigint   not null check (index >= 0),
    hashes bytea    not null check (octet_length(hashes) = 256 * 32),
    root   bytea    not null check (octet_length(root) = 32),
    constraint log_tiles_pkey primary key (level, index)
);

-- Hashes do not compress.
alter table log_tiles alter column hashes set storage external;

-- A log has one head of each size: a second one is a fork.
create unique index log_checkpoints_size_key on log_checkpoints (size);

create trigger log_keys_append_only
    before update or delete or truncate on log_keys
    for each statement execute function refuse_change();
create trigger log_tiles_append_only
    before update or delete or truncate on log_tiles
    for each statement execute function refuse_change();
create trigger log_checkpoints_append_only
    before update or delete or truncate on log_checkpoints
    for each statement execute function refuse_change();

alter table log_keys enable always trigger log_keys_append_only;
alter table log_tiles enable always trigger log_tiles_append_only;
alter table log_checkpoints enable always trigger log_checkpoints_append_only;
