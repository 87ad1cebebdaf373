//! `chancery history`: a conversation as this device has it.

use chancery::Client;

use crate::args::HistoryArgs;
use crate::failure::Failure;
use crate::key::Purpose;
use crate::message;
use crate::output::Output;

pub(crate) async fn run(args: &HistoryArgs, output: Output) -> Result<(), Failure> {
    let home = args.home.folder()?;
    let key = args.home.key.source(Purpose::Open)?;
    let client = Client::open(&home, &key)?;
    let mut position = 0_u64;
    loop {
        let page = client.history(&args.who, position).await?;
        for entry in page.iter() {
            let files = message::files(entry);
            output.result(&message::object(entry, &files), || {
                message::with_id(args.ids, entry, message::text(entry, &files))
            })?;
        }
        let Some(next) = page.next else { return Ok(()) };
        position = next;
    }
}
