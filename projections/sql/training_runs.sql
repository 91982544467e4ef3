-- Every wish to train a version, and what became of it.
create table training_runs (
    id           uuid   not null primary key,
    model        text   not null,
    reason       text   not null,
    figures      jsonb  not null,
    plan         jsonb  not null,
    -- what is brought in instead of training
    import       jsonb,
    state        text   not null check (state in ('requested', 'running', 'completed', 'failed', 'cancelled')),
    requested_at timestamptz not null,
    started_at   timestamptz,
    ended_at     timestamptz,
    as_of        date,
    rows         bigint,
    instruments  bigint,
    version      integer,
    failure      text,
    ordinal      bigint not null
);

-- The list, newest first, a page at a time; the oldest due one first.
create unique index training_runs_ordinal on training_runs (ordinal);

-- "What is to be trained?" must not walk over every run that ever ended.
create index training_runs_due on training_runs (ordinal) where state in ('requested', 'running');

-- The runs of one model, newest first.
create index training_runs_model on training_runs (model, ordinal desc);
