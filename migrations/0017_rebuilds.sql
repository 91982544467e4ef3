-- Tables of a projection that stand beside the live ones: a rebuild that warms up or is ready to take over, and what was
-- live before the last switch. A rebuild is a wish that outlives every process: whoever follows the log goes on with it
-- where another one was killed.
--
-- How far such tables have come stands in `subscriptions`, under a name that no handler can have (`<name>:<place>`) and
-- in the state `warming`: whatever they live through, nobody is told of it. A switch exchanges tables between that row
-- and the live one, at the same ordinal; the live checkpoint, to which mails and webhooks belong, never jumps.
create table projection_builds (
    name         text    not null,
    place        text    not null check (place in ('rebuild', 'previous')),
    version      integer not null,
    schema_name  text    not null,
    state        text    not null check (state in ('warming', 'ready', 'previous', 'failed', 'cancelled')),
    -- The administrator's account; null for the command line and for what nobody asked for.
    requested_by uuid,
    requested_at timestamptz not null default clock_timestamp(),
    -- When it was compared with the live tables, and at which ordinal; null before.
    compared_at      timestamptz,
    compared_ordinal bigint,
    -- The tables that differed then.
    differences  text[]  not null default '{}',
    error        text,
    constraint projection_builds_pkey primary key (name, place)
);

-- Each build has a schema name of its own: the former ones may still be shown, or not be dropped yet.
create sequence projection_builds_number;
