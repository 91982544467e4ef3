/** Reads a colour of `tokens.css` as the page paints it now: canvases do not know custom properties. */
export function colour(name: string, alpha = 1): string {
  const probe = document.createElement('span');
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const [red, green, blue] = getComputedStyle(probe).color.match(/[\d.]+/g) ?? ['128', '128', '128'];
  probe.remove();
  return `rgba(${red}, ${green}, ${blue}, ${alpha})`;
}
