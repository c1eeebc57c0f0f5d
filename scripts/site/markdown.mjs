// Markdown to HTML for the site: headings get the anchors that GitHub gives them, links to pages become links to their
// HTML, tables can scroll, pictures keep a light ground. Nothing of HTML passes from a text into the page.

import MarkdownIt from 'markdown-it';

/** The anchor that GitHub gives a heading. */
export const anchorOf = (text) =>
  text
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replace(/\s/g, '-');

const plain = (inline) => inline.children.map(({ type, content }) => (type === 'softbreak' ? ' ' : content)).join('');

/**
 * A text as HTML, with what stands in it.
 * @param {string} text
 * @param {(target: string) => string} place where a relative link or picture leads, seen from the page
 * @returns {{ html: string, title: string, headings: { level: number, text: string, anchor: string }[],
 *   sections: { heading: string, anchor: string, text: string }[] }}
 */
export function render(text, place) {
  const markdown = new MarkdownIt({ html: false, linkify: false, typographer: false });
  const tokens = markdown.parse(text, {});
  const headings = [];
  const sections = [];
  const taken = new Map();
  tokens.forEach((token, at) => {
    if (token.type === 'heading_open') {
      const words = plain(tokens[at + 1]);
      const wanted = anchorOf(words);
      const before = taken.get(wanted) ?? 0;
      taken.set(wanted, before + 1);
      const anchor = before === 0 ? wanted : `${wanted}-${before}`;
      token.attrSet('id', anchor);
      headings.push({ level: Number(token.tag.slice(1)), text: words, anchor });
      sections.push({ heading: words, anchor, text: '' });
    }
    if (token.type === 'inline') {
      if (tokens[at - 1]?.type !== 'heading_open' && sections.length > 0) sections.at(-1).text += `${plain(token)} `;
      for (const child of token.children) {
        const attribute = child.type === 'image' ? 'src' : child.type === 'link_open' ? 'href' : undefined;
        const target = attribute && child.attrGet(attribute);
        if (target && !/^([a-z]+:|#)/.test(target)) child.attrSet(attribute, place(target));
      }
    }
    if (token.type === 'fence' && sections.length > 0) sections.at(-1).text += `${token.content} `;
  });
  const { rules } = markdown.renderer;
  rules.table_open = () => '<div class="wide" tabindex="0" role="region" aria-label="table"><table>\n';
  rules.table_close = () => '</table></div>\n';
  const image = rules.image;
  rules.image = (...given) => `<span class="picture">${image(...given)}</span>`;
  const html = markdown.renderer.render(tokens, markdown.options, {});
  return { html, title: headings[0]?.text ?? '', headings, sections };
}

export const escaped = (text) =>
  text.replace(/[&<>"]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[sign]);
