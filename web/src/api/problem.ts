/** What the service answers when it refuses or cannot (RFC 9457), as an error that can be shown. */
export class Problem extends Error {
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  /** The last part of the problem's type, such as `email-taken`. */
  readonly slug: string;
  /** What is wrong with which field, where the service says so. */
  readonly fields: Record<string, string>;

  constructor(status: number, title: string, detail: string, slug: string, fields: Record<string, string> = {}) {
    super(detail || title);
    this.status = status;
    this.title = title;
    this.detail = detail;
    this.slug = slug;
    this.fields = fields;
  }

  /** Reads the body of an answer that was no success. */
  static of(response: Response, body: unknown): Problem {
    const said = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
    const text = (key: string) => (typeof said[key] === 'string' ? said[key] : '');
    const fields = (typeof said.errors === 'object' && said.errors !== null ? said.errors : {}) as Record<
      string,
      string
    >;
    const title = text('title') || `The service answered ${response.status}`;
    return new Problem(response.status, title, text('detail'), text('type').split('/').pop() ?? '', fields);
  }

  /** Turns anything thrown into a problem. */
  static from(thrown: unknown): Problem {
    if (thrown instanceof Problem) return thrown;
    return new Problem(
      0,
      'The service cannot be reached',
      'Is it running? The page tries again by itself.',
      'unreachable',
    );
  }
}
