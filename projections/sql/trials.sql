-- Every trial with its rule and, once it has ended, the event that ended it, whole. What it shows on the way is read
-- from the predictions.
create table trials (
    id              uuid    not null primary key,
    model           text    not null,
    version         integer not null,
    champion        integer not null,
    rule            jsonb   not null,
    opened_by       text    not null,
    reason          text    not null,
    opened_at       timestamptz not null,
    ordinal         bigint  not null,
    decision        jsonb,
    decided_by      text,
    decided_ordinal bigint
);

-- The trials of a model, newest first; "which one is open?" looks at few of them.
create unique index trials_model on trials (model, ordinal desc);
