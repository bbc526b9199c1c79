//! visavis
fn main() {}
