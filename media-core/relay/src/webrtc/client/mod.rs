//! The WHIP client: publishes to another server.
