-- Readers see the active version of every projection through views in this schema; switching a version
-- replaces the views in one short transaction. The pool's search path begins here.
create schema read;
