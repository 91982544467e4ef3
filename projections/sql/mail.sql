-- What the decision "who gets a mail for this round?" needs, kept by the step that decides: another read model may
-- have come further or less far than this one.
create table mail_accounts (
    id           uuid    not null primary key,
    session_mail boolean not null,
    suspended    boolean not null default false
);

create table mail_watchlists (
    id    uuid not null primary key,
    owner uuid not null
);

-- Erasing an account forgets its lists.
create index mail_watchlists_owner on mail_watchlists (owner);

create table mail_watched (
    watchlist  uuid not null,
    instrument uuid not null,
    primary key (watchlist, instrument)
);

-- "Who watches one of these instruments?" when a round is complete.
create index mail_watched_instrument on mail_watched (instrument);

-- The instruments that a round has published for so far; emptied when the round is complete.
create table mail_round_instruments (
    round      uuid not null,
    instrument uuid not null,
    primary key (round, instrument)
);
