//! `chancery org root`: the root's key in the hands of several people.

use std::io::Read as _;
use std::path::Path;

use chancery::organisation::{self, RootShare};
use chancery::{Error, ErrorCode};
use chancery_crypto::secret::SecretBytes;
use serde_json::json;

use crate::args::{RootJoinArgs, RootSplitArgs};
use crate::failure::{Failure, system};
use crate::key::Purpose;
use crate::output::Output;
use crate::text::hex;

/// Longest share file, or stdin with shares, in bytes: 16 shares with room to spare. More is a wrong file.
const MAX_SHARE_FILE: usize = 16 * 1024;

pub(crate) fn split(args: &RootSplitArgs, output: Output) -> Result<(), Failure> {
    let dir = &args.org.dir;
    let (threshold, count) = (args.threshold, args.shares);
    let (root, shared) = (dir.join(organisation::ROOT_KEY), dir.join(organisation::ROOT_SHARED));
    let key = args.org.key.source(Purpose::Open)?;
    if args.dry_run {
        organisation::check_split(dir, &key, threshold, count)?;
        let object = json!({
            "dry_run": true,
            "threshold": threshold,
            "shares": count,
            "writes": shared.display().to_string(),
            "removes": args.remove.then(|| root.display().to_string()),
        });
        return output.result(&object, || {
            let then = if args.remove { format!("; then remove {}", root.display()) } else { String::new() };
            format!(
                "would write {} and print {count} shares, {threshold} of them needed{then}",
                shared.display()
            )
        });
    }
    let shares = organisation::split_root(dir, &key, threshold, count)?;
    if let Err(failure) = print(&shares, output) {
        // Nobody has all shares; so that the command can be given again.
        organisation::discard_shares(dir)?;
        return Err(match failure {
            Failure::StdoutClosed => Error::with(ErrorCode::FileUnreadable, "standard output").into(),
            other => other,
        });
    }
    if args.remove {
        organisation::remove_root(dir)?;
    }
    output.note(&format!(
        "Give each line to another person. {threshold} of them and {} make {} again: chancery org root join",
        shared.display(),
        root.display()
    ));
    Ok(())
}

fn print(shares: &[RootShare], output: Output) -> Result<(), Failure> {
    for share in shares {
        let text = share.encode();
        let object = json!({
            "share": text,
            "index": share.index(),
            "threshold": share.threshold(),
            "set": hex(share.set()),
        });
        output.result(&object, || text)?;
    }
    Ok(())
}

pub(crate) fn join(args: &RootJoinArgs, output: Output) -> Result<(), Failure> {
    let stdin = Path::new("-");
    let passphrase = args.org.key.passphrase_file.as_deref();
    let readers = args.share_file.iter().map(|path| path.as_path()).chain(passphrase);
    if readers.filter(|path| *path == stdin).count() > 1 {
        return Err(Error::with(ErrorCode::Usage, "stdin can be read once").into());
    }
    let root = args.org.dir.join(organisation::ROOT_KEY);
    let mut shares = Vec::new();
    for path in &args.share_file {
        if path == stdin {
            read_lines(&mut shares)?;
        } else {
            shares.push(read_file(path)?);
        }
    }
    // Before a passphrase is thought up and a key file made for nothing.
    organisation::check_join(&args.org.dir, &shares)?;
    let key = args.org.key.source(Purpose::Create)?;
    let org_id = organisation::join_root(&args.org.dir, &key, &shares)?;
    let object = json!({"org_id": org_id.to_string(), "root": root.display().to_string()});
    output.result(&object, || format!("{} is there again", root.display()))
}

fn read_file(path: &Path) -> Result<RootShare, Error> {
    let name = path.display().to_string();
    let file = std::fs::File::open(path).map_err(|error| system(&error, &name))?;
    let bytes = read(file, &name)?;
    parse(bytes.expose(), &name)
}

fn read_lines(shares: &mut Vec<RootShare>) -> Result<(), Error> {
    let bytes = read(std::io::stdin().lock(), "standard input")?;
    for (number, line) in (1..).zip(bytes.expose().split(|byte| *byte == b'\n')) {
        if !line.trim_ascii().is_empty() {
            shares.push(parse(line, &format!("standard input, line {number}"))?);
        }
    }
    Ok(())
}

fn read(source: impl std::io::Read, name: &str) -> Result<SecretBytes, Error> {
    // One allocation of the final size, so that growing leaves no copy behind.
    let mut bytes = Vec::with_capacity(MAX_SHARE_FILE);
    let read = source.take(MAX_SHARE_FILE as u64).read_to_end(&mut bytes);
    let bytes = SecretBytes::new(bytes);
    read.map_err(|error| system(&error, name))?;
    if bytes.expose().len() >= MAX_SHARE_FILE {
        return Err(Error::with(ErrorCode::ShareDamaged, format!("{name} is too long")));
    }
    Ok(bytes)
}

fn parse(bytes: &[u8], name: &str) -> Result<RootShare, Error> {
    let share = std::str::from_utf8(bytes).map_err(|_| ErrorCode::ShareDamaged.into());
    share.and_then(organisation::parse_share).map_err(|error| Error::with(error.code(), name))
}
