//! The service as its users meet it: real processes of the real binary, its own PostgreSQL, HTTP, SMTP and webhooks.

mod service {
    mod commands;
    mod crashes;
    mod demo;
    mod edge;
    mod interface;
}
