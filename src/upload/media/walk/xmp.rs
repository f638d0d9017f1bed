//! XMP packets (ISO 16684-1): properties that tell a place, or a device, become spaces.
//!
//! Never the packet as a whole: it also says where a gain map and the film of a motion photo are.
//! A packet that is no well-formed XML becomes an empty one, if it speaks of what is to go.

use std::ops::Range;

use memchr::{memchr, memmem};

use super::{Strip, words};

/// Largest packet that is collected, in bytes. Cameras write 2 to 57 KB.
pub(super) const MAX_PACKET: usize = 512 * 1024;
/// Deepest nesting of elements that is followed.
const MAX_DEPTH: usize = 32;
/// Stands where a packet was that cannot be read.
const EMPTY: &[u8] = br#"<x:xmpmeta xmlns:x="adobe:ns:meta/"/>"#;

const TIFF: &[u8] = b"http://ns.adobe.com/tiff/1.0/";
const EXIF: &[u8] = b"http://ns.adobe.com/exif/1.0/";
/// Namespaces of the packet itself, and those by which viewers show a picture: gain maps, motion photos,
/// panoramas.
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

/// Not XML as this file reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Malformed;

/// The packet without what is to go; `None` where that is nothing.
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

/// An empty packet of this length.
fn empty(len: usize) -> Vec<u8> {
    let mut packet = EMPTY.to_vec();
    if packet.len() > len {
        packet.clear();
    }
    packet.resize(len, b' ');
    packet
}

/// Where the properties stand that are to go.
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
            // A document type may define entities, which stand for anything.
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

/// Where `text` stands next.
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
    /// The tag whose `<` stands at `start`.
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

/// The inside of a tag, from where it is read to.
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

/// Reads tags one after the other, and notes what is to go.
#[derive(Debug)]
struct Reader<'p> {
    strip: Strip,
    /// Prefixes and what they were last declared as.
    namespaces: Vec<(&'p [u8], &'p [u8])>,
    /// Names of the elements around the next tag.
    open: Vec<&'p [u8]>,
    /// Depth and start of an element that goes with all that is in it.
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

    /// Whether an element or an attribute with a prefix goes.
    fn is_removed(&self, name: &[u8]) -> bool {
        let (prefix, local) = split(name);
        is_location_property(local) || self.strip >= Strip::Device && !self.is_kept(prefix, local)
    }

    fn is_attribute_removed(&self, name: &[u8]) -> bool {
        let (prefix, local) = split(name);
        match prefix {
            // `about` and its like, and `xmlns`.
            b"" => is_location_property(local),
            b"xmlns" | b"xml" => false,
            // The program that wrote the packet.
            _ if local == b"xmptk" => self.strip >= Strip::Device,
            _ => self.is_removed(name),
        }
    }

    /// Whether a property stays even where all goes that tells a device.
    fn is_kept(&self, prefix: &[u8], local: &[u8]) -> bool {
        let declared = self.namespaces.iter().find(|(its, _)| *its == prefix);
        declared.is_some_and(|(_, namespace)| {
            KEPT.contains(namespace)
                || *namespace == TIFF && local == b"Orientation"
                || *namespace == EXIF && local == b"ColorSpace"
        })
    }
}

/// Prefix and local part of a name.
fn split(name: &[u8]) -> (&[u8], &[u8]) {
    match memchr(b':', name).map(|at| name.split_at(at)) {
        Some((prefix, [_, local @ ..])) => (prefix, local),
        _ => (b"", name),
    }
}

/// Whether a name with a prefix, as ImageMagick writes them into text, is that of a place.
pub(super) fn is_location_name(name: &[u8]) -> bool {
    is_location_property(split(name).1)
}

/// Whether a property of this name tells a place, in whichever namespace: those of EXIF, IPTC,
/// Photoshop, DJI and others write it alike.
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
        // SubjectLocation is a position within the picture, not a geographic one.
        || local.ends_with(b"Location") && local != b"SubjectLocation"
        || NAMES.contains(&local)
}

/// Whether a fragment of a split packet names a location. Fragments may contain base64, so only names that
/// cannot occur there by chance count.
pub(super) fn fragment_has_location(piece: &[u8]) -> bool {
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
    words::contains_any(piece, NAMES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(packet: &str, strip: Strip) -> Option<String> {
        let cleaned = clean(packet.as_bytes(), strip)?;
        assert_eq!(cleaned.len(), packet.len(), "{packet}");
        assert_eq!(clean(&cleaned, strip), None, "{packet}: not at once");
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
            ("behind no tags", "", no_tags, &["<q:City>R</q:City>"]),
        ] {
            let packet = packet(attributes, elements);
            let mut expected = packet.clone();
            for text in removed {
                let at = expected.find(text).expect("what goes");
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
        let cleaned = cleaned(&packet, Strip::Device).expect("something to go");
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
        // In letters of 16 bits, without a name of 8.
        let letters = "<exif:GPSLatitude/>".bytes();
        let wide: Vec<u8> = letters.flat_map(|it| [it, 0]).collect();
        assert_eq!(clean(&wide, Strip::Location), Some(empty(wide.len())));
    }
}
