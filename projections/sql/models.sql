-- Every version with the event that registered it, whole: an answer for any earlier ordinal needs all of it.
create table model_versions (
    model        text    not null,
    version      integer not null,
    registration jsonb   not null,
    ordinal      bigint  not null,
    primary key (model, version)
);

-- The audit timeline: one row for each event of a model, never changed afterwards. What was champion at ordinal T is
-- the `champion` of the last row at or before T that has one.
create table model_timeline (
    model    text   not null,
    ordinal  bigint not null,
    sequence bigint not null,
    at       timestamptz not null,
    event    text   not null,
    version  integer,
    champion integer,
    decider  text,
    reason   text,
    facts    jsonb  not null,
    -- The timeline of one model in log order, cut off at any ordinal.
    primary key (model, ordinal)
);
