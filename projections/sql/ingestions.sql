-- What came in: one row for each batch; a batch that failed and then succeeded is one row.
create table ingestions (
    id              uuid   not null primary key,
    kind            text   not null check (kind in ('bars', 'headlines', 'unknown')),
    source          text   not null,
    state           text   not null check (state in ('recorded', 'failed')),
    mode            text,
    first_session   date,
    last_session    date,
    rows            bigint not null,
    quarantined     bigint not null,
    findings        jsonb  not null,
    observed_at     timestamptz not null,
    object          jsonb,
    findings_object jsonb,
    failure         text,
    ordinal         bigint not null
);

-- The administrator's list, newest first, a page at a time.
create unique index ingestions_ordinal on ingestions (ordinal);

-- The batches a dataset is made of, in log order; "which session came in last?" reads the same few rows.
create index ingestions_recorded on ingestions (mode, kind, ordinal) where state = 'recorded';

-- "Which session of bars came in last?"
create index ingestions_last_session on ingestions (mode, last_session) where kind = 'bars';
