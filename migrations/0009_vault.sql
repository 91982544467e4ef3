-- Everything personal, everything a person typed, every credential and URL. Events name only the id, so
-- erasing a person deletes rows here and the log still verifies.
create table vault (
    id     uuid not null,
    owner  uuid not null,
    kind   text not null,
    value  text not null,
    put_at timestamptz not null default clock_timestamp(),
    constraint vault_pkey primary key (id)
);

create index vault_owner on vault (owner, kind);
