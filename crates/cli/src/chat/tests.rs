//! The model and the view without a terminal.
