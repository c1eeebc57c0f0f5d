// The site's own script: the search, the ground (light, dark, or as the system is) and, on a phone, the menu. The index
// of the search is in index.js, as a script, because a page opened from a file may not fetch one.

const side = document.querySelector('aside');
const input = document.querySelector('#search');
const up = document.body.dataset.up === '' ? '' : `${document.body.dataset.up}/`;
const found = document.querySelector('#found');

const grounds = ['system', 'light', 'dark'];
const button = document.querySelector('#ground');
function showGround(name) {
  if (name === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  button.textContent = { system: 'Auto', light: 'Light', dark: 'Dark' }[name];
  button.setAttribute('aria-label', `colours: ${name}; change`);
}
function stored() {
  try {
    return localStorage.getItem('tram-ground') ?? 'system';
  } catch {
    return 'system';
  }
}
let ground = grounds.includes(stored()) ? stored() : 'system';
showGround(ground);
button.addEventListener('click', () => {
  ground = grounds[(grounds.indexOf(ground) + 1) % grounds.length];
  showGround(ground);
  try {
    localStorage.setItem('tram-ground', ground);
  } catch {
    // It then holds for this page alone.
  }
});

const menu = document.querySelector('.menu');
menu.addEventListener('click', () => {
  menu.setAttribute('aria-expanded', String(side.classList.toggle('open')));
});

/** Sections that have all words, those with the words in their headings first. */
function search(words) {
  return window.tramIndex
    .map((section) => {
      const title = `${section.title} ${section.heading}`.toLowerCase();
      const text = section.text.toLowerCase();
      if (!words.every((word) => title.includes(word) || text.includes(word))) return undefined;
      const score = words.reduce(
        (sum, word) =>
          sum +
          (section.heading.toLowerCase().includes(word) ? 20 : title.includes(word) ? 10 : 0) +
          Math.min(5, text.split(word).length - 1),
        0,
      );
      // Declarations and tables of options come behind texts that explain.
      return { section, score: /^(library|settings|commands)\.html/.test(section.page) ? score / 4 : score };
    })
    .filter((one) => one !== undefined)
    .sort((a, b) => b.score - a.score)
    .slice(0, 12);
}

/** What stands around the first of the words, with the word marked. */
function excerpt(text, word) {
  const at = text.toLowerCase().indexOf(word);
  const line = document.createElement('small');
  if (at < 0) {
    line.textContent = text.slice(0, 90);
    return line;
  }
  const mark = document.createElement('mark');
  mark.textContent = text.slice(at, at + word.length);
  line.append(
    at > 40 ? '…' : '',
    text.slice(Math.max(0, at - 40), at),
    mark,
    text.slice(at + word.length, at + 60),
    '…',
  );
  return line;
}

input.addEventListener('input', () => {
  const words = input.value
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word.length > 1);
  found.replaceChildren();
  if (words.length === 0) return;
  const results = search(words);
  for (const { section } of results) {
    const link = document.createElement('a');
    link.href = `${up}${section.page}#${section.anchor}`;
    link.append(section.heading === section.title ? section.title : `${section.title} · ${section.heading}`);
    link.append(excerpt(section.text, words[0]));
    const item = document.createElement('li');
    item.append(link);
    found.append(item);
  }
  if (results.length === 0) {
    const none = document.createElement('li');
    none.textContent = 'nothing found';
    found.append(none);
  }
});

document.addEventListener('keydown', (event) => {
  if (event.key === '/' && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
    event.preventDefault();
    input.focus();
  }
  if (event.key === 'Escape' && document.activeElement === input) {
    input.value = '';
    found.replaceChildren();
  }
});
