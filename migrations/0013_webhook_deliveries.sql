-- Webhook messages to deliver, and each attempt that was made. The id is what the receiver sees as
-- `webhook-id`, the same in every attempt, so that it can drop repetitions.
create table webhook_deliveries (
    id              uuid  not null,
    key             text  not null,
    endpoint        uuid  not null,
    account         uuid  not null,
    ordinal         bigint not null,
    event_type      text  not null,
    payload         jsonb not null,
    state           text  not null default 'due' check (state in ('due', 'delivered', 'failed')),
    attempts        integer not null default 0,
    created_at      timestamptz not null,
    next_attempt_at timestamptz not null,
    leased_until    timestamptz,
    delivered_at    timestamptz,
    last_error      text,
    constraint webhook_deliveries_pkey primary key (id),
    constraint webhook_deliveries_key_key unique (key)
);

create index webhook_deliveries_due on webhook_deliveries (next_attempt_at) where state = 'due';
create index webhook_deliveries_endpoint on webhook_deliveries (endpoint, ordinal desc);

create table webhook_attempts (
    delivery         uuid    not null references webhook_deliveries (id) on delete cascade,
    n                integer not null,
    at               timestamptz not null,
    status           integer,
    error            text,
    duration_ms      integer not null,
    response_excerpt text,
    constraint webhook_attempts_pkey primary key (delivery, n)
);
