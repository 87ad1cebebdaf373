//! Opening a device's home.

use chancery::Client;

use crate::args::HomeArgs;
use crate::failure::Failure;
use crate::key::Purpose;
use crate::progress::Bar;

/// Opens the device of a home.
pub(crate) fn open(home: &HomeArgs) -> Result<Client, Failure> {
    let folder = home.folder()?;
    let key = home.key.source(Purpose::Open)?;
    Ok(Client::open(&folder, &key)?)
}

/// Opens it, and shows on a bar how far files have come.
pub(crate) fn open_with(home: &HomeArgs, bar: &Bar) -> Result<Client, Failure> {
    let folder = home.folder()?;
    let key = home.key.source(Purpose::Open)?;
    Ok(Client::open_with(&folder, &key, bar.function())?)
}
