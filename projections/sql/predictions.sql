-- Every prediction and every abstention, one row for each slot. The forecast never changes; the outcome is filled in
-- once. The ordinals of both stay, so that any earlier moment of the log can be answered for.
create table predictions (
    id               uuid    not null primary key,
    model            text    not null,
    version          integer not null,
    -- The trial it was made on; null for what is published. Only published ones are ever shown.
    trial            uuid,
    round            uuid    not null,
    instrument       uuid    not null,
    as_of            date    not null,
    horizon          integer not null,
    target           date    not null,
    target_closes_at timestamptz not null,
    mode             text    not null,
    dataset          text    not null,
    state            text    not null check (state in ('open', 'scored', 'voided', 'abstained')),
    published_at     timestamptz not null,
    ordinal          bigint  not null,
    abstention       text,
    close            numeric,
    void_after       integer,
    forecast         jsonb,
    realised         numeric,
    target_close     numeric,
    score            jsonb,
    scored_at        timestamptz,
    scored_ordinal   bigint,
    voided_ordinal   bigint,
    -- The parts of the score that are added up. Numeric, because its sums do not depend on the order of the rows:
    -- a rebuilt read model gives the same digits.
    squared_error       numeric,
    squared_error_zero  numeric,
    squared_error_drift numeric,
    hit                 boolean,
    inside_80           boolean,
    inside_95           boolean,
    interval_score_80   numeric,
    interval_score_95   numeric,
    brier               numeric,
    pinball             numeric
);

-- The list, newest first, a page at a time.
create unique index predictions_ordinal on predictions (ordinal);

-- The newest prediction of an instrument for each horizon, and the history on the page of a stock.
create index predictions_instrument on predictions (instrument, horizon, as_of desc);

-- What is due for scoring: the open ones whose target has come. Scored rows leave this index.
create index predictions_open on predictions (target, ordinal) where state = 'open';

-- What of a round is published already, and the newest round on one page.
create index predictions_round on predictions (round);

-- The track record of a model, session by session.
create index predictions_record on predictions (model, horizon, as_of);

-- What a challenger has made on a trial.
create index predictions_trial on predictions (trial) where trial is not null;

-- All predictions of one model for one session.
create table rounds (
    id                uuid    not null primary key,
    model             text    not null,
    version           integer not null,
    session           date    not null,
    mode              text    not null,
    dataset           text    not null,
    state             text    not null check (state in ('open', 'complete')),
    opened_at         timestamptz not null,
    completed_at      timestamptz,
    published         bigint  not null default 0,
    abstained         bigint  not null default 0,
    calibration       jsonb   not null default '[]',
    ordinal           bigint  not null,
    completed_ordinal bigint
);

-- "Is the round of this session done?" and "which is the newest?"
create unique index rounds_session on rounds (model, session);

-- The symbols that predictions are shown under, kept here so that an answer never mixes two read models that have come
-- differently far.
create table prediction_instruments (
    id     uuid not null primary key,
    symbol text not null,
    name   text
);
