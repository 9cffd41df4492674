//! Lists come in pages.

use serde::{Deserialize, Serialize};

use crate::wire::wire_object;

wire_object! {
    pub struct Links {
        pub pages: Option<Pages>,
    }
}

wire_object! {
    /// Absolute URLs.
    pub struct Pages {
        pub first: String,
        pub prev: String,
        pub next: String,
        pub last: String,
    }
}

/// A total of zero is written out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Meta {
    #[serde(default)]
    pub total: u64,
}

/// Which page of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct PageQuery {
    /// Counted from 1.
    #[schemars(range(min = 1))]
    pub page: u64,
    #[schemars(range(min = 1, max = 200))]
    pub per_page: u64,
}

impl Default for PageQuery {
    fn default() -> Self {
        Self {
            page: 1,
            per_page: Self::PER_PAGE,
        }
    }
}

impl PageQuery {
    pub const PER_PAGE: u64 = 20;
    pub const PER_PAGE_MAX: u64 = 200;

    /// The first page instead of page 0, and at most as many items as a page may have.
    #[must_use]
    pub fn clamped(self) -> Self {
        Self {
            page: self.page.max(1),
            per_page: self.per_page.clamp(1, Self::PER_PAGE_MAX),
        }
    }

    /// How many items come before the page.
    pub fn offset(self) -> u64 {
        let query = self.clamped();
        (query.page - 1).saturating_mul(query.per_page)
    }

    /// The neighbours of the page; `url` is the list's own, without a query.
    pub fn links(self, url: &str, total: u64) -> Links {
        let query = self.clamped();
        let last = total.div_ceil(query.per_page).max(1);
        let joint = if url.contains('?') { '&' } else { '?' };
        let link = |page: u64| format!("{url}{joint}page={page}&per_page={}", query.per_page);
        if last == 1 && query.page == 1 {
            return Links::default();
        }
        let back = query.page > 1;
        let forth = query.page < last;
        let pages = Pages {
            first: if back { link(1) } else { String::new() },
            prev: if back {
                link((query.page - 1).min(last))
            } else {
                String::new()
            },
            next: if forth {
                link(query.page + 1)
            } else {
                String::new()
            },
            last: if forth { link(last) } else { String::new() },
        };
        Links { pages: Some(pages) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_in_the_middle_has_all_neighbours() {
        let query = PageQuery {
            page: 2,
            per_page: 10,
        };
        let pages = query.links("http://h/v2/apps", 35).pages.unwrap();
        assert_eq!(pages.first, "http://h/v2/apps?page=1&per_page=10");
        assert_eq!(pages.prev, "http://h/v2/apps?page=1&per_page=10");
        assert_eq!(pages.next, "http://h/v2/apps?page=3&per_page=10");
        assert_eq!(pages.last, "http://h/v2/apps?page=4&per_page=10");
        assert_eq!(query.offset(), 10);
    }

    #[test]
    fn a_single_page_has_no_neighbours_and_odd_queries_are_clamped() {
        assert_eq!(PageQuery::default().links("u", 20), Links::default());
        assert_eq!(
            PageQuery {
                page: 0,
                per_page: 9999
            }
            .clamped(),
            PageQuery {
                page: 1,
                per_page: 200
            }
        );
        assert_eq!(PageQuery { page: 0, per_page: 0 }.offset(), 0);
    }
}
