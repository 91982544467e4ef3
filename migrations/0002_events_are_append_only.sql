-- Nothing published is ever changed: the database itself refuses, whoever asks.
-- Statement triggers, so that even a statement that matches no row is refused, and `enable always`, so that
-- `session_replication_role` does not open a side door.
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% on % is refused: the log is append-only', tg_op, tg_table_name
        using errcode = 'restrict_violation';
end
$$;

create trigger events_append_only
    before update or delete or truncate on events
    for each statement execute function refuse_change();

alter table events enable always trigger events_append_only;
