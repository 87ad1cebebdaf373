//! Forms: questions with a small schema, and what counts as an answer (R-CONTENT-25, R-CONTENT-26).

use alloc::collections::BTreeSet;

use chancery_identity::is_plain;
use chancery_wire::encode;
use chancery_wire::proto::{Form, FormField, FormValue};

/// Questions of a form: 32. More is a document.
pub const MAX_FIELDS: usize = 32;
/// Options of a choice: 32.
pub const MAX_OPTIONS: usize = 32;
/// Bytes of a title, a label or an option: 256.
pub const MAX_LABEL: usize = 256;
/// Bytes of a field's identifier: 64.
pub const MAX_FIELD_ID: usize = 64;
/// Bytes of the values of an answer, encoded: 2,048, so that the answers of a whole department fit one record.
pub const MAX_ANSWER: usize = 2048;

/// What a question asks for ([`FormField::kind`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u32)]
pub enum FieldKind {
    /// Any text.
    Text = 1,
    /// One of the options.
    Choice = 2,
    /// A decimal number.
    Number = 3,
    /// `yes` or `no`.
    Approval = 4,
}

impl FieldKind {
    /// Reads the number of a field; `None` for one of a later version.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Text,
            2 => Self::Choice,
            3 => Self::Number,
            4 => Self::Approval,
            _ => return None,
        })
    }
}

/// Whether a form keeps every rule.
#[must_use]
pub fn is_sound(form: &Form) -> bool {
    let ids: BTreeSet<_> = form.fields.iter().map(|field| field.id.as_str()).collect();
    is_label(&form.title)
        && (1..=MAX_FIELDS).contains(&form.fields.len())
        && ids.len() == form.fields.len()
        && form.fields.iter().all(is_field)
}

fn is_field(field: &FormField) -> bool {
    let options: BTreeSet<_> = field.options.iter().collect();
    let has_options = match FieldKind::from_number(field.kind) {
        Some(FieldKind::Choice) => (1..=MAX_OPTIONS).contains(&options.len()),
        Some(_) => options.is_empty(),
        None => false,
    };
    has_options
        && options.len() == field.options.len()
        && options.iter().all(|option| !option.is_empty() && is_label(option))
        && (1..=MAX_FIELD_ID).contains(&field.id.len())
        && is_label(&field.id)
        && is_label(&field.label)
}

/// Whether a text may stand beside others in a form: what is asked must read as it is.
fn is_label(text: &str) -> bool {
    text.len() <= MAX_LABEL && is_plain(text)
}

/// Whether the values of an answer keep the limits that hold without its form.
#[must_use]
pub fn may_be_values(values: &[FormValue]) -> bool {
    let fields: BTreeSet<_> = values.iter().map(|value| value.field.as_str()).collect();
    let bytes = values.iter().map(|value| encode(value).len()).fold(0, usize::saturating_add);
    fields.len() == values.len() && values.len() <= MAX_FIELDS && bytes <= MAX_ANSWER
}

/// Whether these values answer a form: each of a field that it has and as that demands, and all that it requires.
#[must_use]
pub fn answers(form: &Form, values: &[FormValue]) -> bool {
    let of = |id: &str| values.iter().find(|value| value.field == id);
    may_be_values(values)
        && values.iter().all(|value| form.fields.iter().any(|field| fits(field, value)))
        && form.fields.iter().all(|field| !field.required || of(&field.id).is_some())
}

fn fits(field: &FormField, given: &FormValue) -> bool {
    let value = given.value.as_str();
    field.id == given.field
        && match FieldKind::from_number(field.kind) {
            Some(FieldKind::Text) => !value.is_empty(),
            Some(FieldKind::Choice) => field.options.iter().any(|option| option == value),
            Some(FieldKind::Number) => is_decimal(value),
            Some(FieldKind::Approval) => value == "yes" || value == "no",
            None => false,
        }
}

/// Whether a text is a sign or none, 1 to 18 digits and, behind a point, 1 to 9 more.
fn is_decimal(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits =
        |part: &str, most| (1..=most).contains(&part.len()) && part.bytes().all(|it| it.is_ascii_digit());
    digits(whole, 18) && digits(part, 9)
}
