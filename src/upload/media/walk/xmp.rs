//! XMP packets (ISO 16684-1): properties with a location, or a device, are overwritten with spaces.
//!
//! The rest is kept, since it locates the gain map and the video of a motion photo. A packet that is
//! not well-formed XML is replaced by an empty one if it mentions metadata to remove.

use std::ops::Range;

use memchr::{memchr, memmem};

use super::{Strip, words};

/// Largest packet that is collected, in bytes. Cameras write 2 to 57 KB.
pub(super) const MAX_PACKET: usize = 512 * 1024;
/// Deepest nesting of elements.
const MAX_DEPTH: usize = 32;
/// Replacement of a packet that cannot be parsed.
const EMPTY: &[u8] = br#"<x:xmpmeta xmlns:x="adobe:ns:meta/"/>"#;

const TIFF: &[u8] = b"http://ns.adobe.com/tiff/1.0/";
const EXIF: &[u8] = b"http://ns.adobe.com/exif/1.0/";
/// Namespaces of the packet itself, and those that viewers need: gain maps, motion photos, panoramas.
const KEPT: &[&[u8]] = &[
    b"http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    b"adobe:ns:meta/",
    b"http://ns.adobe.com/hdr-gain-map/1.0/",
    b"http://ns.apple.com/HDRGainMap/1.0/",
    b"http://ns.apple.com/pixeldatainfo/1.0/",
    b"http://ns.google.com/photos/1.0/camera/",
    b"http://ns.google.com/photos/1.0/container/",
    b"http://ns.google.com/photos/1.0/container/item/",
    b"http://ns.google.com/photos/1.0/panorama/",
];

/// The packet is not in the subset of XML that is parsed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Malformed;

/// Cleans a packet; `None` if nothing is to be removed.
pub(super) fn clean(packet: &[u8], strip: Strip) -> Option<Vec<u8>> {
    if strip == Strip::Off {
        return None;
    }
    let removed = match ranges_to_remove(packet, strip) {
        Ok(removed) if removed.is_empty() => return None,
        Ok(removed) => removed,
        Err(Malformed) if strip < Strip::Device && !words::has_location(packet) => return None,
        Err(Malformed) => return Some(empty(packet.len())).filter(|empty| empty != packet),
    };
    let mut cleaned = packet.to_vec();
    for range in removed {
        if let Some(bytes) = cleaned.get_mut(range) {
            bytes.fill(b' ');
        }
    }
    Some(cleaned)
}

/// Returns an empty packet of this length.
fn empty(len: usize) -> Vec<u8> {
    let mut packet = EMPTY.to_vec();
    if packet.len() > len {
        packet.clear();
    }
    packet.resize(len, b' ');
    packet
}

/// Returns the ranges of the properties to remove.
fn ranges_to_remove(packet: &[u8], strip: Strip) -> Result<Vec<Range<usize>>, Malformed> {
    let mut reader = Reader {
        strip,
        namespaces: Vec::new(),
        open: Vec::new(),
        removing_from: None,
        removed: Vec::new(),
    };
    let mut at = 0;
    while let Some(start) = find(packet, at, b"<") {
        let rest = packet.get(start..).unwrap_or_default();
        let skipped: Option<&[u8]> = match rest {
            [b'<', b'!', b'-', b'-', ..] => Some(b"-->"),
            [b'<', b'?', ..] => Some(b"?>"),
            _ if rest.starts_with(b"<![CDATA[") => Some(b"]]>"),
            // A document type may define entities, which can hide any text.
            [b'<', b'!', ..] => return Err(Malformed),
            _ => None,
        };
        at = match skipped {
            Some(end) => find(packet, start + 2, end).ok_or(Malformed)? + end.len(),
            None => {
                let tag = Tag::read(packet, start)?;
                let ends = tag.range.end;
                reader.see(tag)?;
                ends
            }
        };
    }
    let is_closed = reader.open.is_empty();
    is_closed.then_some(reader.removed).ok_or(Malformed)
}

/// Returns the offset of the next `text`.
fn find(packet: &[u8], from: usize, text: &[u8]) -> Option<usize> {
    memmem::find(packet.get(from..)?, text).map(|at| from + at)
}

/// A start, end or empty-element tag.
#[derive(Debug)]
struct Tag<'p> {
    range: Range<usize>,
    name: &'p [u8],
    kind: TagKind,
    attributes: Vec<Attribute<'p>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TagKind {
    Start,
    End,
    Empty,
}

#[derive(Debug)]
struct Attribute<'p> {
    range: Range<usize>,
    name: &'p [u8],
    value: &'p [u8],
}

impl<'p> Tag<'p> {
    /// Parses the tag at `start`.
    fn read(packet: &'p [u8], start: usize) -> Result<Self, Malformed> {
        let mut text = Text {
            packet,
            at: start + 1,
        };
        let is_end = text.next_if(b'/');
        let name = text.name()?;
        let mut attributes = Vec::new();
        let is_empty = loop {
            text.skip_blanks();
            if text.next_if(b'>') {
                break false;
            }
            if text.next_if(b'/') {
                break text.next_if(b'>').then_some(true).ok_or(Malformed)?;
            }
            attributes.push(text.attribute()?);
        };
        let kind = match (is_end, is_empty) {
            (false, false) => TagKind::Start,
            (false, true) => TagKind::Empty,
            (true, false) => TagKind::End,
            (true, true) => return Err(Malformed),
        };
        Ok(Self {
            range: start..text.at,
            name,
            kind,
            attributes,
        })
    }
}

/// Cursor within a tag.
#[derive(Debug)]
struct Text<'p> {
    packet: &'p [u8],
    at: usize,
}

impl<'p> Text<'p> {
    fn rest(&self) -> &'p [u8] {
        self.packet.get(self.at..).unwrap_or_default()
    }

    fn next_if(&mut self, byte: u8) -> bool {
        let is_next = self.rest().first() == Some(&byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn skip_blanks(&mut self) {
        let is_text = |byte: &u8| !byte.is_ascii_whitespace();
        let rest = self.rest();
        self.at += rest.iter().position(is_text).unwrap_or(rest.len());
    }

    fn name(&mut self) -> Result<&'p [u8], Malformed> {
        let ends_name = |byte: &u8| {
            byte.is_ascii_whitespace() || matches!(byte, b'=' | b'/' | b'>' | b'<' | b'"' | b'\'')
        };
        let rest = self.rest();
        let len = rest.iter().position(ends_name).ok_or(Malformed)?;
        self.at += len;
        rest.get(..len)
            .filter(|name| !name.is_empty())
            .ok_or(Malformed)
    }

    fn attribute(&mut self) -> Result<Attribute<'p>, Malformed> {
        let start = self.at;
        let name = self.name()?;
        self.skip_blanks();
        if !self.next_if(b'=') {
            return Err(Malformed);
        }
        self.skip_blanks();
        let quote = [b'"', b'\''].into_iter().find(|quote| self.next_if(*quote));
        let rest = self.rest();
        let len = memchr(quote.ok_or(Malformed)?, rest).ok_or(Malformed)?;
        self.at += len + 1;
        Ok(Attribute {
            range: start..self.at,
            name,
            value: rest.get(..len).unwrap_or_default(),
        })
    }
}

/// Reads tags in order, and collects the ranges to remove.
#[derive(Debug)]
struct Reader<'p> {
    strip: Strip,
    /// Prefixes and their last declared namespaces.
    namespaces: Vec<(&'p [u8], &'p [u8])>,
    /// Names of the open elements.
    open: Vec<&'p [u8]>,
    /// Depth and start of an element that is removed with its content.
    removing_from: Option<(usize, usize)>,
    removed: Vec<Range<usize>>,
}

impl<'p> Reader<'p> {
    fn see(&mut self, tag: Tag<'p>) -> Result<(), Malformed> {
        let Range { start, end } = tag.range;
        if tag.kind == TagKind::End {
            if self.open.pop() != Some(tag.name) {
                return Err(Malformed);
            }
            let depth = self.open.len();
            if let Some((_, from)) = self.removing_from.take_if(|(removed, _)| *removed == depth) {
                self.removed.push(from..end);
            }
            return Ok(());
        }
        if self.removing_from.is_none() {
            self.declare(&tag.attributes);
            if !self.is_removed(tag.name) {
                let attributes = tag.attributes.iter();
                let removed = attributes.filter(|it| self.is_attribute_removed(it.name));
                let removed: Vec<_> = removed.map(|it| it.range.clone()).collect();
                self.removed.extend(removed);
            } else if tag.kind == TagKind::Empty {
                self.removed.push(start..end);
            } else {
                self.removing_from = Some((self.open.len(), start));
            }
        }
        if tag.kind == TagKind::Start {
            if self.open.len() >= MAX_DEPTH {
                return Err(Malformed);
            }
            self.open.push(tag.name);
        }
        Ok(())
    }

    fn declare(&mut self, attributes: &[Attribute<'p>]) {
        for attribute in attributes {
            if let Some(prefix) = attribute.name.strip_prefix(b"xmlns:") {
                self.namespaces.retain(|(declared, _)| *declared != prefix);
                self.namespaces.push((prefix, attribute.value));
            }
        }
    }

    /// Returns whether an element, or an attribute with a prefix, is removed.
    fn is_removed(&self, name: &[u8]) -> bool {
        let (prefix, local) = split(name);
        is_location_property(local) || self.strip >= Strip::Device && !self.is_kept(prefix, local)
    }

    fn is_attribute_removed(&self, name: &[u8]) -> bool {
        let (prefix, local) = split(name);
        match prefix {
            // `about` and similar ones, and `xmlns`.
            b"" => is_location_property(local),
            b"xmlns" | b"xml" => false,
            // The toolkit that wrote the packet.
            _ if local == b"xmptk" => self.strip >= Strip::Device,
            _ => self.is_removed(name),
        }
    }

    /// Returns whether a property is kept even if device metadata is removed.
    fn is_kept(&self, prefix: &[u8], local: &[u8]) -> bool {
        let declared = self.namespaces.iter().find(|(its, _)| *its == prefix);
        declared.is_some_and(|(_, namespace)| {
            KEPT.contains(namespace)
                || *namespace == TIFF && local == b"Orientation"
                || *namespace == EXIF && local == b"ColorSpace"
        })
    }
}

/// Returns the prefix and the local part of a name.
fn split(name: &[u8]) -> (&[u8], &[u8]) {
    match memchr(b':', name).map(|at| name.split_at(at)) {
        Some((prefix, [_, local @ ..])) => (prefix, local),
        _ => (b"", name),
    }
}

/// Returns whether a prefixed name, as ImageMagick writes it as a keyword, is that of a location.
pub(super) fn is_location_name(name: &[u8]) -> bool {
    is_location_property(split(name).1)
}

/// Returns whether a property of this name is a location, in any namespace: EXIF, IPTC, Photoshop, DJI
/// and others use the same names.
fn is_location_property(local: &[u8]) -> bool {
    const NAMES: &[&[u8]] = &[
        b"City",
        b"State",
        b"ProvinceState",
        b"Country",
        b"CountryCode",
        b"CountryName",
        b"Sublocation",
        b"WorldRegion",
        b"LocationCreated",
        b"LocationShown",
        b"LocationName",
        b"LocationId",
        b"lat",
        b"long",
        b"alt",
    ];
    let lower = local.to_ascii_lowercase();
    lower.starts_with(b"gps")
        || words::contains_any(&lower, &[b"latitude", b"longitude"])
        || lower.ends_with(b"altitude")
        // SubjectLocation is a position within the image, not a geographic one.
        || local.ends_with(b"Location") && local != b"SubjectLocation"
        || NAMES.contains(&local)
}

/// Returns whether a fragment of a split packet has a location. Fragments may contain base64, so only names
/// that cannot occur there by chance count.
pub(super) fn fragment_has_location(fragment: &[u8]) -> bool {
    const NAMES: &[&[u8]] = &[
        b"GPSLatitude",
        b"GPSLongitude",
        b"GPSAltitude",
        b"GpsLatitude",
        b"GpsLong",
        b"photoshop:City",
        b"photoshop:Country",
        b"LocationCreated",
        b"LocationShown",
        b"Iptc4xmpCore:Location",
    ];
    words::contains_any(fragment, NAMES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(packet: &str, strip: Strip) -> Option<String> {
        let cleaned = clean(packet.as_bytes(), strip)?;
        assert_eq!(cleaned.len(), packet.len(), "{packet}");
        assert_eq!(clean(&cleaned, strip), None, "{packet}: not idempotent");
        Some(String::from_utf8(cleaned).expect("text"))
    }

    fn packet(attributes: &str, elements: &str) -> String {
        format!(
            "<?xpacket begin='' id='W5M0'?><x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF \
             xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\"><rdf:Description rdf:about=\"\" \
             xmlns:exif=\"http://ns.adobe.com/exif/1.0/\" xmlns:hdrgm=\"http://ns.adobe.com/hdr-gain-map/1.0/\" \
             xmlns:tiff='http://ns.adobe.com/tiff/1.0/' xmlns:q=\"http://ns.adobe.com/photoshop/1.0/\" \
             {attributes}>{elements}</rdf:Description></rdf:RDF></x:xmpmeta>  <?xpacket end='w'?>\0"
        )
    }

    #[test]
    fn properties_that_tell_a_place_become_spaces() {
        let version = "<hdrgm:Version>1</hdrgm:Version>";
        let gps = "exif:GPSLatitude=\"47,13.6N\"";
        let attributes = format!("{gps} hdrgm:Version='1' q:City = 'a > b'");
        let longitude = "<exif:GPSLongitude>39,42E</exif:GPSLongitude>";
        let elements = format!("{longitude}<q:Country/>{version}");
        let nested = "<i:LocationShown><rdf:Bag><rdf:li i:City=\"Rostov\"><i:LocationShown/></rdf:li></rdf:Bag></i:LocationShown >";
        let names = "a:GpsLongtitude='1' b:RelativeAltitude='2' geo:lat='3' exif:SubjectLocation='4' a:Allocation='5'";
        let no_tags =
            "<!-- <exif:GPSLatitude> --><![CDATA[<q:City>]]><?a <q:City>?><q:City>R</q:City>";
        let places: Vec<_> = names.split(' ').take(3).collect();
        for (case, attributes, elements, removed) in [
            ("nothing", "exif:ColorSpace=\"1\"", version, &[][..]),
            ("attributes", &attributes, "", &[gps, "q:City = 'a > b'"]),
            ("elements", "", &elements, &[longitude, "<q:Country/>"]),
            ("nested", "", nested, &[nested]),
            ("of other names", names, "", &places),
            ("after no tags", "", no_tags, &["<q:City>R</q:City>"]),
        ] {
            let packet = packet(attributes, elements);
            let mut expected = packet.clone();
            for text in removed {
                let at = expected.find(text).expect("a property to remove");
                expected.replace_range(at..at + text.len(), &" ".repeat(text.len()));
            }
            let found = cleaned(&packet, Strip::Location);
            assert_eq!(found.unwrap_or_else(|| packet.clone()), expected, "{case}");
        }
    }

    #[test]
    fn only_what_viewers_need_stays_where_devices_are_not_to_be_told() {
        let packet = packet(
            "tiff:Make=\"M\" tiff:Orientation=\"6\" exif:ColorSpace='1' hdrgm:Version=\"1.0\" rdf:ID='a'",
            "<xmp:CreatorTool>T</xmp:CreatorTool><hdrgm:GainMapMax><rdf:Seq><rdf:li>1</rdf:li></rdf:Seq></hdrgm:GainMapMax>",
        )
        .replace("<x:xmpmeta", "<x:xmpmeta x:xmptk=\"Core\"");
        let cleaned = cleaned(&packet, Strip::Device).expect("something to remove");
        for gone in ["Make", "CreatorTool", ">T<", "Core"] {
            assert!(!cleaned.contains(gone), "{gone}: {cleaned}");
        }
        for kept in [
            "tiff:Orientation=\"6\"",
            "exif:ColorSpace='1'",
            "hdrgm:Version=\"1.0\"",
            "rdf:ID='a'",
            "<hdrgm:GainMapMax><rdf:Seq><rdf:li>1</rdf:li></rdf:Seq></hdrgm:GainMapMax>",
        ] {
            assert!(cleaned.contains(kept), "{kept}: {cleaned}");
        }
    }

    #[test]
    fn a_packet_that_cannot_be_read_becomes_an_empty_one() {
        let deep = format!("{}<exif:GPSLatitude/>", "<a>".repeat(40));
        for broken in [
            "<a exif:GPSLatitude='1",
            "<a><exif:GPSLatitude></a>",
            "</a><exif:GPSLatitude/>",
            "<!DOCTYPE a><exif:GPSLatitude/>",
            "<exif:GPSLatitude>                       ",
            "<a GPSLatitude/>",
            "<a GPSLatitude=1/>",
            "< GPSLatitude='1'/>",
            "<a/ ><GPSLatitude/>",
            "<!-- GPSLatitude",
            "<GPSLatitude",
            &deep,
        ] {
            let expected = String::from_utf8(empty(broken.len())).expect("text");
            assert_eq!(cleaned(broken, Strip::Location), Some(expected), "{broken}");
            let no_place = broken.replace("GPSLatitude", "Altered____");
            assert_eq!(cleaned(&no_place, Strip::Location), None, "{no_place}");
        }
        // UTF-16 has no ASCII names.
        let letters = "<exif:GPSLatitude/>".bytes();
        let wide: Vec<u8> = letters.flat_map(|it| [it, 0]).collect();
        assert_eq!(clean(&wide, Strip::Location), Some(empty(wide.len())));
    }
}
