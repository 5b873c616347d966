//! Content-Type (RFC 2045 §5.1), as far as reports need it: the type, `boundary`, `report-type`.

use alloc::string::String;

/// The report-type of RFC 3464.
pub(super) const DELIVERY: &str = "delivery-status";

/// What a part says that it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ContentType {
    /// `type/subtype` in small letters; empty where nothing is said.
    pub kind: String,
    /// Between what the parts of a multipart stand.
    pub boundary: Option<String>,
    /// What a multipart/report reports, in small letters (RFC 6522 §3).
    pub report_type: Option<String>,
}

impl ContentType {
    /// Reads the value of the field.
    pub(super) fn read(value: &str) -> Self {
        let (kind, mut rest) = value.split_once(';').unwrap_or((value, ""));
        let mut read = Self {
            kind: kind.trim().to_ascii_lowercase(),
            ..Self::default()
        };
        while let Some((name, behind)) = rest.split_once('=') {
            // A parameter without a value may stand before the one that has it.
            let name = name.rsplit(';').next().unwrap_or(name).trim();
            let (value, behind) = parameter(behind);
            if name.eq_ignore_ascii_case("boundary") {
                read.boundary.get_or_insert(value);
            } else if name.eq_ignore_ascii_case("report-type") {
                read.report_type.get_or_insert(value.to_ascii_lowercase());
            }
            rest = behind;
        }
        read
    }

    /// Whether parts stand in it.
    pub(super) fn is_multipart(&self) -> bool {
        self.kind.starts_with("multipart/")
    }

    /// Whether it calls itself a report of delivery (RFC 3464 §2), or of something that it forgets to name.
    pub(super) fn is_delivery_report(&self) -> bool {
        let named = self.report_type.as_deref();
        self.kind == "multipart/report" && named.is_none_or(|kind| kind == DELIVERY)
    }
}

/// The value of a parameter, and what stands behind it.
fn parameter(text: &str) -> (String, &str) {
    let text = text.trim_start();
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let (value, behind) = text.split_at_checked(end).unwrap_or((text, ""));
        return (String::from(value.trim()), behind);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, quoted.get(at.saturating_add(1)..).unwrap_or("")),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            character => value.push(character),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_quoted_or_not_in_any_order() {
        for value in [
            "multipart/report; report-type=delivery-status; boundary=\"a;=b\"",
            "Multipart/Report ;boundary = \"a;\\=b\"; Report-Type = Delivery-Status",
            "multipart/report; x; boundary=\"a;=b\"; charset=x; report-type=\"delivery-status\"",
        ] {
            let read = ContentType::read(value);
            assert_eq!(read.kind, "multipart/report", "{value}");
            assert_eq!(read.boundary.as_deref(), Some("a;=b"), "{value}");
            assert_eq!(
                read.report_type.as_deref(),
                Some("delivery-status"),
                "{value}"
            );
        }
        let open = ContentType::read("multipart/mixed; boundary=\"abc");
        assert_eq!(open.boundary.as_deref(), Some("abc"));
        assert_eq!(ContentType::read(""), ContentType::default());
    }
}
