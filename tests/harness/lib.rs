//! Drives the service as its users do: over HTTP, SMTP, webhooks, the command line and a browser.
