//! A small strict reader of HTML as this product writes it: every element is closed in order, every attribute is
//! quoted, every `&` is an entity.

const VOID: [&str; 4] = ["meta", "link", "br", "!doctype"];

pub struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
}

impl Element {
    pub fn get(&self, attribute: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == attribute).map(|(_, value)| value.as_str())
    }
}

/// Every element in order.
///
/// # Panics
/// If the page is not well-formed.
pub fn elements(page: &str) -> Vec<Element> {
    let (mut found, mut open, mut rest) = (Vec::new(), Vec::<String>::new(), page);
    while let Some(at) = rest.find('<') {
        unescaped(&rest[..at]);
        let end = at + rest[at..].find('>').expect("a tag ends");
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closed in order");
            continue;
        }
        let inner = tag.strip_suffix('/').unwrap_or(tag);
        let element = element(inner);
        if inner.len() == tag.len() && !VOID.contains(&element.name.as_str()) {
            open.push(element.name.clone());
        }
        if element.name == "style" {
            rest = &rest[rest.find("</style>").expect("the stylesheet ends")..];
        }
        found.push(element);
    }
    assert!(open.is_empty(), "left open: {open:?}");
    found
}

fn element(tag: &str) -> Element {
    let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
    let mut attributes = Vec::new();
    while !rest.is_empty() {
        if name == "!doctype" {
            break;
        }
        let (attribute, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("quoted: {tag}"));
        let (value, after) = after.split_once('"').unwrap_or_else(|| panic!("quoted: {tag}"));
        assert!(!attribute.contains(' '), "{tag}");
        attributes.push((attribute.to_owned(), unescaped(value)));
        rest = after.trim_start();
    }
    Element { name: name.to_owned(), attributes }
}

/// What stands between the tags, trimmed, as it is read.
pub fn texts(page: &str) -> Vec<String> {
    let body = &page[page.find("<body>").expect("a body")..];
    let parts = body.split('<').filter_map(|part| part.split_once('>'));
    parts.map(|(_, text)| unescaped(text).trim().to_owned()).filter(|text| !text.is_empty()).collect()
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        let (entity, after) = rest[at + 1..].split_once(';').expect("an entity ends");
        plain.push(match entity {
            "amp" | "#38" => '&',
            "lt" | "#60" => '<',
            "gt" | "#62" => '>',
            "quot" | "#34" => '"',
            "#39" | "apos" => '\'',
            other => panic!("&{other}; is no entity of ours"),
        });
        rest = after;
    }
    plain + rest
}

#[test]
fn what_is_broken_is_noticed() {
    let broken = |page: &str| std::panic::catch_unwind(|| elements(page)).is_err();
    assert!(!broken(r#"<p class="a">1 &lt; 2<br><b>x</b></p>"#));
    for page in ["<p>", "<p><b></p></b>", "<p class=a></p>", "<p>a & b</p>", r#"<p class="a></p>"#] {
        assert!(broken(page), "{page}");
    }
}
