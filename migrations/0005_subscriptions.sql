-- How far each reader of the sealed log has come. The checkpoint moves in the transaction of its effects.
create table subscriptions (
    name           text    not null,
    version        integer not null,
    last_ordinal   bigint  not null default 0,
    state          text    not null check (state in ('running', 'warming', 'stopped', 'retired')),
    -- The version that readers see; at most one for each name.
    active         boolean not null default false,
    -- Raised whenever the meaning of the checkpoint changes (rebuilt, switched, resumed); steps compare it.
    generation     bigint  not null default 0,
    -- Schema of the tables of this version; null where there are effects only.
    schema_name    text,
    error          text,
    failed_ordinal bigint,
    moved_at       timestamptz not null default clock_timestamp(),
    constraint subscriptions_pkey primary key (name, version)
);

create unique index subscriptions_active on subscriptions (name) where active;

-- Poison events that a subscription was told to step over, kept until someone has replayed or dismissed them.
create table subscription_parked (
    name      text    not null,
    version   integer not null,
    ordinal   bigint  not null,
    error     text    not null,
    parked_at timestamptz not null default clock_timestamp(),
    constraint subscription_parked_pkey primary key (name, version, ordinal)
);
