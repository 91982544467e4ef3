//! Lists that are read a page at a time, by key and never by offset: a page stays right while rows are added.

use serde::Serialize;
use utoipa::ToSchema;

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct List<T> {
    /// The rows of this page.
    pub items: Vec<T>,
    /// The cursor of the next page, where there is one.
    pub next: Option<String>,
}

impl<T> List<T> {
    /// A page out of up to `limit` + 1 rows that were read; the one too many only shows that there is a next page,
    /// which `cursor` names by the last row of this one.
    pub fn cut(mut items: Vec<T>, limit: i64, cursor: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(0);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Self { items, next }
    }

    /// A list that is whole.
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_too_many_is_not_shown_and_names_a_next_page() {
        let page = List::cut(vec![9, 8, 7], 2, ToString::to_string);
        assert_eq!(page, List { items: vec![9, 8], next: Some("8".into()) });
        let last = List::cut(vec![7], 2, ToString::to_string);
        assert_eq!(last, List { items: vec![7], next: None });
    }
}
