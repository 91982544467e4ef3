-- What no single stream can guard: that an e-mail address or a listed ticker belongs to one owner only.
create table claims (
    kind     text not null,
    value    text not null,
    owner    uuid not null,
    taken_at timestamptz not null default clock_timestamp(),
    constraint claims_pkey primary key (kind, value)
);

-- Erasing an owner releases what it held.
create index claims_owner on claims (owner);
