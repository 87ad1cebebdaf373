//! What do whole processes cost? Not measured yet.
fn main() {}
