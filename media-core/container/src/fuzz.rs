//! Entry points for the fuzzers, built and replayed in ordinary tests.
