//! One HTML page that needs nothing besides itself.

use serde::Serialize;

const STYLE: &str = include_str!("page/style.css");
const BASE: &str = include_str!("page/base.js");

/// Text, as it may stand in HTML.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// Data, as it may stand in a script element: the same JSON, without what could end the element.
pub fn data(model: &impl Serialize) -> String {
    let json = serde_json::to_string(model).unwrap_or_else(|_| "null".into());
    json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

/// A page that a script draws from data.
pub fn page(title: &str, model: &impl Serialize, scripts: &[&str]) -> String {
    let (title, data, scripts) = (escaped(title), data(model), scripts.join("\n"));
    // Only what stands in this page runs, and nothing is asked of any network.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main id=\"page\"></main>\n\
         <noscript><p>This page is drawn by a script that it holds itself.</p></noscript>\n\
         <script type=\"application/json\" id=\"data\">{data}</script>\n\
         <script>\n\"use strict\";\n{BASE}\n{scripts}\n</script>\n</body>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NASTY: &str = "</script><script>alert('1')</script><!-- & \" \u{2028}";

    #[test]
    fn text_cannot_become_markup() {
        let safe = escaped(NASTY);
        assert!(!safe.contains(['<', '>', '"', '\'']));
        assert!(safe.starts_with("&lt;/script&gt;&lt;script&gt;alert(&#39;1&#39;)"));
        assert_eq!(escaped("a & b"), "a &amp; b");
        assert_eq!(escaped("&lt;"), "&amp;lt;", "what looks escaped is text too");
    }

    #[test]
    fn data_cannot_end_its_element_and_is_still_the_same_data() {
        let text = data(&[NASTY]);
        assert!(!text.contains(['<', '>', '&']));
        let back: Vec<String> = serde_json::from_str(&text).unwrap();
        assert_eq!(back, [NASTY]);
    }

    #[test]
    fn a_page_holds_no_text_as_markup_and_asks_for_nothing() {
        let page = page(NASTY, &[NASTY], &["draw();"]);
        assert!(!page.contains("alert('1')</script>"));
        assert_eq!(page.matches("</script>").count(), 2, "its own two");
        for outside in ["src=", "href=", "@import", "url(", "fetch("] {
            assert!(!page.contains(outside), "{outside}");
        }
        let addresses = page.matches("http").count() - page.matches("http-equiv").count();
        assert_eq!(addresses, page.matches("http://www.w3.org/2000/svg").count(), "only the name of SVG");
    }
}
