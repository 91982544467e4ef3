import { ColorType, CrosshairMode, type ChartOptions, type DeepPartial } from 'lightweight-charts';

import { colour } from './colours';

/** What all charts share: quiet lines, the page's typeface, and a page that still scrolls under the pointer. */
export function chartOptions(): DeepPartial<ChartOptions> {
  return {
    autoSize: true,
    layout: {
      background: { type: ColorType.Solid, color: 'transparent' },
      textColor: colour('ink-faint'),
      fontFamily: getComputedStyle(document.documentElement).fontFamily,
      fontSize: 11,
      // The page's footer names the makers.
      attributionLogo: false,
    },
    grid: { vertLines: { visible: false }, horzLines: { color: colour('line') } },
    rightPriceScale: { borderVisible: false },
    timeScale: { borderColor: colour('line'), fixLeftEdge: true },
    crosshair: {
      mode: CrosshairMode.Normal,
      vertLine: { color: colour('line-strong'), labelBackgroundColor: colour('ink-soft') },
      horzLine: { color: colour('line-strong'), labelBackgroundColor: colour('ink-soft') },
    },
    handleScroll: { mouseWheel: false, vertTouchDrag: false },
    handleScale: { mouseWheel: false },
  };
}
