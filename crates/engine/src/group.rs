//! Groups of this device (R-GROUP).

pub(crate) mod rows;
