import type {
  AutoscaleInfo,
  IChartApi,
  IPrimitivePaneRenderer,
  ISeriesApi,
  ISeriesPrimitive,
  SeriesAttachedParameter,
  SeriesType,
  Time,
} from 'lightweight-charts';

import { colour } from './colours';

/** What is forecast for one session: the middle and the ends of the bands, widest first, as prices. */
export interface FanPoint {
  session: string;
  middle: number;
  bands: { low: number; high: number }[];
}

type Canvas = Parameters<IPrimitivePaneRenderer['draw']>[0];

/** Draws the widening bands of a forecast from the last close into the sessions to come. */
export class Fan implements ISeriesPrimitive<Time> {
  #points: FanPoint[] = [];
  #chart?: IChartApi;
  #series?: ISeriesApi<SeriesType>;
  #redraw?: () => void;

  attached({ chart, series, requestUpdate }: SeriesAttachedParameter<Time>) {
    this.#chart = chart as IChartApi;
    this.#series = series;
    this.#redraw = requestUpdate;
  }

  /** The first point is the last known close, where all bands have no width. */
  show(points: FanPoint[]) {
    this.#points = points;
    this.#redraw?.();
  }

  paneViews() {
    return [{ zOrder: () => 'bottom' as const, renderer: () => ({ draw: (target: Canvas) => this.#draw(target) }) }];
  }

  autoscaleInfo(): AutoscaleInfo | null {
    const ends = this.#points.flatMap((point) => point.bands.flatMap((band) => [band.low, band.high]));
    if (ends.length === 0) return null;
    return { priceRange: { minValue: Math.min(...ends), maxValue: Math.max(...ends) } };
  }

  #draw(target: Canvas) {
    const time = this.#chart?.timeScale();
    const series = this.#series;
    if (!time || !series || this.#points.length < 2) return;
    const placed = this.#points.flatMap((point) => {
      const x = time.timeToCoordinate(point.session as Time);
      const y = (value: number) => series.priceToCoordinate(value) ?? 0;
      if (x === null) return [];
      const bands = point.bands.map((band) => ({ low: y(band.low), high: y(band.high) }));
      return [{ x, middle: y(point.middle), bands }];
    });
    target.useMediaCoordinateSpace(({ context }) => {
      const count = Math.max(...placed.map((point) => point.bands.length), 0);
      for (let band = 0; band < count; band++) {
        context.beginPath();
        for (const point of placed) context.lineTo(point.x, point.bands[band]?.high ?? point.middle);
        for (const point of [...placed].reverse()) context.lineTo(point.x, point.bands[band]?.low ?? point.middle);
        context.closePath();
        context.fillStyle = colour('accent', 0.14 + 0.07 * band);
        context.fill();
      }
      context.beginPath();
      for (const point of placed) context.lineTo(point.x, point.middle);
      context.strokeStyle = colour('accent');
      context.lineWidth = 1.5;
      context.setLineDash([4, 3]);
      context.stroke();
    });
  }
}
