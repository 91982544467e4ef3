-- Where integrators want to be called. The URL and the secret lie in the vault.
create table webhook_endpoints (
    id              uuid    not null primary key,
    owner           uuid    not null,
    event_types     text[]  not null,
    enabled         boolean not null default true,
    disabled_reason text,
    created_at      timestamptz not null,
    ordinal         bigint  not null
);

-- "My endpoints", in the order they were registered.
create index webhook_endpoints_owner on webhook_endpoints (owner, ordinal);
