-- A log that was imported was lived somewhere else: whoever was mailed or called for its events was so there, and
-- must not be a second time when the subscriptions here live through it again. And while an import is under way
-- nobody may decide anything on half a log.
create table log_imports (
    only_row    boolean     not null default true primary key check (only_row),
    -- The last event that comes, or came, from elsewhere.
    size        bigint      not null check (size >= 0),
    root        bytea       not null check (octet_length(root) = 32),
    origin      text,
    begun_at    timestamptz not null default clock_timestamp(),
    finished_at timestamptz
);

create or replace function swallow_when_quiet() returns trigger language plpgsql as $$
begin
    if coalesce(current_setting('almanac.quiet', true), '') = 'on' then
        return null;
    end if;
    -- What answers no event of the log has no ordinal.
    if new.ordinal > 0 and new.ordinal <= (select size from public.log_imports) then
        return null;
    end if;
    return new;
end
$$;
