-- What the decision "which endpoints are told of this event, and in which words?" needs, kept by the step that decides.
create table webhook_filters (
    endpoint    uuid    not null primary key,
    owner       uuid    not null,
    event_types text[]  not null,
    enabled     boolean not null default true,
    -- Shut out with its account.
    suspended   boolean not null default false
);

-- Erasing or suspending an account stops what goes to its endpoints.
create index webhook_filters_owner on webhook_filters (owner);

create table webhook_instruments (
    id       uuid not null primary key,
    symbol   text not null,
    exchange text not null
);

-- What was published and has no outcome yet: the message about a score says again what it is a score of.
create table webhook_open_predictions (
    id   uuid  not null primary key,
    data jsonb not null
);
