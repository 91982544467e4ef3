-- What the leader found when it last inspected the log: every node's health must show it, whoever leads.
alter table sequencer
    add column inspected_at timestamptz,
    -- A sentence for people; null while all is well.
    add column finding text;
