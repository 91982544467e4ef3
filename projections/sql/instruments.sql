-- Every instrument that ever became known, delisted ones too.
create table instruments (
    id             uuid   not null primary key,
    -- "C", so that the index below answers prefixes, and so that pages are in the same order on every machine.
    symbol         text collate "C" not null,
    exchange       text   not null,
    name           text,
    sector         text,
    first_session  date   not null,
    halted_from    date,
    delisted_after date,
    listed_ordinal bigint not null
);

-- The list of instruments a page at a time, and the search by the beginning of a symbol.
create index instruments_symbol on instruments (symbol, id);

-- Splits and dividends, one row for each time one was recorded.
create table instrument_actions (
    instrument uuid   not null,
    ordinal    bigint not null,
    effective  date   not null,
    action     jsonb  not null,
    primary key (instrument, ordinal)
);
