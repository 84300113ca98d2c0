// Draws one dashboard as Grafana would: its scenes engine, field configuration, transformations and
// components, on a page without a Grafana server. Ours are the doors between them: a datasource that
// asks Prometheus, thin panels over @grafana/ui, and drawings for state timelines and heatmaps.
import React from 'react';
import { createRoot } from 'react-dom/client';
import { MemoryRouter } from 'react-router-dom';
import { from, map } from 'rxjs';
import {
  createTheme,
  EventBusSrv,
  cacheFieldDisplayNames,
  FieldColorModeId,
  FieldType,
  LoadingState,
  PanelPlugin,
  ThemeContext,
  identityOverrideProcessor,
  fieldColorModeRegistry,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  standardFieldConfigEditorRegistry,
  standardTransformers,
  standardTransformersRegistry,
  toDataFrame,
} from '@grafana/data';
import {
  config,
  setAppEvents,
  setDataSourceSrv,
  setPluginImportUtils,
  setRunRequest,
} from '@grafana/runtime';
import {
  DataSourceVariable,
  EmbeddedScene,
  QueryVariable,
  SceneControlsSpacer,
  SceneDataTransformer,
  SceneGridItem,
  SceneGridLayout,
  SceneGridRow,
  SceneQueryRunner,
  SceneTimeRange,
  SceneVariableSet,
  VariableValueSelectors,
  VizPanel,
  sceneGraph,
} from '@grafana/scenes';
import { BarGauge, BigValue, GlobalStyles, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';

const { board, prometheus, from: begin, to: end, chosen, scrape } = (window as any).RENDER;
const theme = createTheme({ colors: { mode: 'dark' } });
(config as any).theme2 = theme;
const problems: string[] = [];

// --- The datasource -------------------------------------------------------------------------------
const escaped = (value: string) => value.replace(/[-\\^$*+?.()|[\]{}]/g, '\\\\$&');
const asRegexp = (value: any) => (Array.isArray(value) ? `(${value.map(escaped).join('|')})` : String(value));
const duration = (seconds: number) => `${Math.max(1, Math.round(seconds))}s`;

async function get(path: string, parameters: Record<string, string>) {
  const answer = await fetch(`${prometheus}/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const body = await answer.json();
  if (body.status !== 'success') {
    problems.push(`${path}: ${body.error}`);
    throw new Error(body.error);
  }
  return body.data;
}

const named = (legend: string, labels: any) =>
  legend === '__auto' || !legend
    ? JSON.stringify(labels)
    : legend.replace(/\{\{(\w+)\}\}/g, (_: string, name: string) => labels[name] ?? '');

function framesOf(target: any, result: any[], step: number, several: boolean) {
  if (target.format === 'table') {
    const value = several ? `Value #${target.refId}` : 'Value';
    const labels = [...new Set(result.flatMap((one) => Object.keys(one.metric)))].sort();
    return [
      toDataFrame({
        refId: target.refId,
        fields: [
          { name: 'Time', type: FieldType.time, values: result.map((one) => one.value[0] * 1000) },
          ...labels.map((name) => ({
            name, type: FieldType.string, config: { filterable: true }, values: result.map((one) => one.metric[name]),
          })),
          { name: value, type: FieldType.number, values: result.map((one) => Number(one.value[1])) },
        ],
      }),
    ];
  }
  const pointsOf = (one: any) => one.values ?? [one.value];
  if (target.format === 'heatmap') {
    const rows = [...result].sort((a, b) => Number(a.metric.le.replace('+Inf', 'Infinity')) - Number(b.metric.le.replace('+Inf', 'Infinity')));
    const times = [...new Set(rows.flatMap((one) => pointsOf(one).map((p: any) => p[0])))].sort((a, b) => a - b);
    const counts = rows.map((one) => new Map(pointsOf(one).map((p: any) => [p[0], Number(p[1])])));
    return [
      toDataFrame({
        refId: target.refId,
        fields: [
          { name: 'Time', type: FieldType.time, config: { interval: step * 1000 }, values: times.map((t) => t * 1000) },
          ...rows.map((one, row) => ({
            name: one.metric.le, type: FieldType.number, labels: one.metric,
            values: times.map((t) => Math.max(0, (counts[row].get(t) as any ?? 0) - (row ? (counts[row - 1].get(t) as any ?? 0) : 0))),
          })),
        ],
      }),
    ];
  }
  return result.map((one) =>
    toDataFrame({
      refId: target.refId,
      fields: [
        { name: 'Time', type: FieldType.time, config: { interval: step * 1000 }, values: pointsOf(one).map((p: any) => p[0] * 1000) },
        {
          name: 'Value', type: FieldType.number, labels: one.metric,
          config: { displayNameFromDS: named(target.legendFormat, one.metric) },
          values: pointsOf(one).map((p: any) => Number(p[1])),
        },
      ],
    })
  );
}

const datasource: any = {
  uid: 'prometheus', type: 'prometheus', name: 'Prometheus', id: 1, interval: `${scrape}s`, meta: { id: 'prometheus' },
  getRef: () => ({ uid: 'prometheus', type: 'prometheus' }),
  async query(request: any) {
    const until = request.range.to.unix(), since = request.range.from.unix();
    const step = Math.max(request.intervalMs / 1000, 1);
    const scoped = {
      ...request.scopedVars,
      __interval: { text: '', value: duration(step) },
      __rate_interval: { text: '', value: duration(Math.max(step + scrape, 4 * scrape)) },
      __range: { text: '', value: duration(until - since) },
    };
    const asked = request.scopedVars.__sceneObject.value.valueOf();
    const frames = await Promise.all(
      request.targets.map(async (target: any) => {
        const query = sceneGraph.interpolate(asked, target.expr, scoped, asRegexp);
        const data = target.instant
          ? await get('query', { query, time: String(until) })
          : await get('query_range', {
              query, start: String(Math.floor(since / step) * step), end: String(until), step: String(step),
            });
        return framesOf(target, data.result, step, request.targets.length > 1);
      })
    );
    return { data: frames.flat() };
  },
  async metricFindQuery(asked: any, options: any) {
    const text = sceneGraph.interpolate(options.scopedVars.__sceneObject.value.valueOf(), asked.query ?? asked, {}, asRegexp);
    const [, selector, label] = /label_values\((.+), *(\w+)\)/.exec(text)!;
    const values = await get(`label/${label}/values`, { 'match[]': selector, start: begin, end });
    return values.map((value: string) => ({ text: value }));
  },
};
setDataSourceSrv({
  get: async () => datasource,
  getList: () => [{ uid: 'prometheus', name: 'Prometheus', type: 'prometheus', meta: datasource.meta }],
  getInstanceSettings: () => ({ uid: 'prometheus', name: 'Prometheus', type: 'prometheus', meta: datasource.meta }),
  reload: () => undefined,
} as any);
setRunRequest(((source: any, request: any) =>
  from(source.query(request)).pipe(
    map((answer: any) => ({ state: LoadingState.Done, series: answer.data, timeRange: request.range, request }))
  )) as any);
setAppEvents(new EventBusSrv());
standardTransformersRegistry.setInit(() =>
  [...new Map(Object.values(standardTransformers).map((one: any) => [one.id, one])).values()].map((one: any) => ({
    id: one.id, name: one.name, aliasIds: one.aliasIds, transformation: async () => one, editor: () => null, imageDark: '', imageLight: '',
  }))
);

// --- The panels -----------------------------------------------------------------------------------
const property = (path: string, isCustom: boolean): any => ({
  id: isCustom ? `custom.${path}` : path, path, name: path, isCustom, editor: () => null, override: () => null,
  process: identityOverrideProcessor, shouldApply: () => true, settings: {}, getItemsCount: () => 0,
});
const STANDARD = ['unit', 'min', 'max', 'decimals', 'displayName', 'noValue', 'thresholds', 'mappings', 'links', 'color'];
const CUSTOM = [
  'drawStyle', 'lineInterpolation', 'lineWidth', 'lineStyle', 'fillOpacity', 'fillBelowTo', 'showPoints', 'spanNulls', 'insertNulls',
  'stacking', 'axisPlacement', 'thresholdsStyle', 'hideFrom', 'align', 'width', 'minWidth', 'cellOptions', 'axisSoftMax', 'inspect',
];
standardFieldConfigEditorRegistry.setInit(() => STANDARD.map((path) => property(path, false)));

const valueFields = (data: any) =>
  data.series.flatMap((frame: any) =>
    frame.fields.filter((f: any) => f.type === FieldType.number).map((field: any) => ({ field, frame }))
  );
const nameOf = ({ field }: any) => field.state?.displayName ?? field.config.displayName ?? field.config.displayNameFromDS ?? field.name;
const Empty = ({ fieldConfig, height }: any) => (
  <div style={{ height, display: 'flex', alignItems: 'center', justifyContent: 'center', color: theme.colors.text.secondary }}>
    {fieldConfig.defaults.noValue ?? 'No data'}
  </div>
);
const isEmpty = (data: any) => !data.series.some((frame: any) => frame.length);

const Lines = (props: any) =>
  isEmpty(props.data) ? <Empty {...props} /> : (
    <TimeSeries
      frames={props.data.series} structureRev={props.data.structureRev} timeRange={props.timeRange} timeZone="utc"
      width={props.width} height={props.height} legend={props.options.legend} options={props.options}
    >
      {() => null}
    </TimeSeries>
  );
const displays = ({ data, fieldConfig, options, replaceVariables }: any) =>
  getFieldDisplayValues({ fieldConfig, reduceOptions: options.reduceOptions, replaceVariables, theme, data: data.series, timeZone: 'utc' });
const Stat = (props: any) => (
  <VizRepeater
    {...props} orientation="vertical" getValues={() => displays(props)} source={props.data} renderCounter={props.renderCounter}
    renderValue={({ value, width, height, count }: any) => (
      <BigValue value={value.display} width={width} height={height} theme={theme} count={count}
        colorMode={props.options.colorMode} graphMode={props.options.graphMode} textMode={props.options.textMode}
        justifyMode={props.options.justifyMode} />
    )}
  />
);
const Bars = (props: any) => (
  <VizRepeater
    {...props} orientation="horizontal" getValues={() => displays(props)} source={props.data} renderCounter={props.renderCounter}
    getAlignmentFactors={(values: any[]) => getDisplayValueAlignmentFactors(values)}
    minVizHeight={props.options.minVizHeight} maxVizHeight={props.options.maxVizHeight} itemSpacing={8}
    renderValue={({ value, width, height, orientation, alignmentFactors }: any) => (
      <BarGauge value={value.display} width={width} height={height} orientation={orientation} theme={theme} field={value.field}
        display={value.view?.getFieldDisplayProcessor(value.colIndex)} alignmentFactors={alignmentFactors}
        displayMode={props.options.displayMode} valueDisplayMode={props.options.valueMode} namePlacement={props.options.namePlacement} showUnfilled={props.options.showUnfilled} itemSpacing={8} />
    )}
  />
);
const Table = (props: any) => {
  cacheFieldDisplayNames(props.data.series);
  return isEmpty(props.data) ? <Empty {...props} /> : (
    <TableNG data={props.data.series[0]} width={props.width} height={props.height} sortBy={props.options.sortBy}
      cellHeight={props.options.cellHeight} structureRev={props.data.structureRev} fieldConfig={props.fieldConfig} noValue={props.fieldConfig.defaults.noValue} />
  );
};

const Axis = ({ begin, end, left, width, top }: any) => (
  <>
    {[0, 1, 2, 3, 4, 5, 6].map((part) => (
      <div key={part} style={{ position: 'absolute', left: left + (width * part) / 6 - (part === 6 ? 34 : part ? 17 : 0), top, fontSize: 11, color: theme.colors.text.secondary }}>
        {new Date(begin + ((end - begin) * part) / 6).toISOString().slice(11, 16)}
      </div>
    ))}
  </>
);
const Ribbons = (props: any) => {
  const rows = valueFields(props.data);
  if (!rows.length) {
    return <Empty {...props} />;
  }
  const left = rows.length > 1 ? 110 : 110, width = props.width - left - 8;
  const begin = props.timeRange.from.valueOf(), end = props.timeRange.to.valueOf();
  const each = (props.height - 20) / rows.length;
  const x = (at: number) => left + ((Math.min(Math.max(at, begin), end) - begin) / (end - begin)) * width;
  return (
    <div style={{ position: 'relative', width: props.width, height: props.height }}>
      {rows.map(({ field, frame }: any, row: number) => {
        const times = frame.fields[0].values, step = frame.fields[0].config.interval ?? 0;
        const runs: any[] = [];
        field.values.forEach((value: number, i: number) => {
          const last = runs.at(-1), until = Math.min(times[i] + step, end);
          if (last && last.value === value && times[i] <= last.until) {
            last.until = until;
          } else {
            runs.push({ value, at: times[i], until });
          }
        });
        return (
          <React.Fragment key={row}>
            <div style={{ position: 'absolute', top: row * each + each / 2 - 9, width: left - 8, textAlign: 'right', fontSize: 12 }}>{nameOf({ field })}</div>
            {runs.map((run, i) => {
              const shown = field.display(run.value), size = x(run.until) - x(run.at);
              return (
                <div key={i} style={{ position: 'absolute', left: x(run.at), width: size, top: row * each + 2, height: each - 4, background: shown.color, opacity: 0.85, color: '#fff', fontSize: 12, overflow: 'hidden', paddingLeft: 2 }}>
                  {props.options.showValue !== 'never' && size > 40 ? shown.text : ''}
                </div>
              );
            })}
          </React.Fragment>
        );
      })}
      <Axis begin={begin} end={end} left={left} width={width} top={props.height - 17} />
    </div>
  );
};
const Heat = (props: any) => {
  const frame = props.data.series[0];
  if (isEmpty(props.data)) {
    return <Empty {...props} />;
  }
  const [time, ...all] = frame.fields, step = time.config.interval;
  const some = all.map((f: any) => f.values.some((v: number) => v > 0.01));
  const rows = all.slice(Math.max(0, some.indexOf(true) - 1), some.lastIndexOf(true) + 2);
  const most = Math.max(...rows.flatMap((f: any) => f.values));
  const left = 60, width = props.width - left - 8, each = (props.height - 20) / rows.length;
  const begin = props.timeRange.from.valueOf(), end = props.timeRange.to.valueOf();
  const paint = fieldColorModeRegistry.get(FieldColorModeId.ContinuousBlYlRd).getCalculator({ config: {} } as any, theme);
  return (
    <div style={{ position: 'relative', width: props.width, height: props.height }}>
      {rows.map((field: any, row: number) => (
        <React.Fragment key={row}>
          <div style={{ position: 'absolute', top: props.height - 20 - (row + 1) * each - 8, width: left - 6, textAlign: 'right', fontSize: 11, color: theme.colors.text.secondary }}>
            {field.name} s
          </div>
          {field.values.map((value: number, i: number) =>
            value > 0.01 ? (
              <div key={i} style={{ position: 'absolute', left: left + ((time.values[i] - step - begin) / (end - begin)) * width, width: (step / (end - begin)) * width - 1, top: props.height - 20 - (row + 1) * each, height: each - 1, background: paint(value, Math.sqrt(value / most)) }} />
            ) : null
          )}
        </React.Fragment>
      ))}
      <Axis begin={begin} end={end} left={left} width={width} top={props.height - 17} />
    </div>
  );
};

const plugins = new Map(
  Object.entries({ timeseries: Lines, stat: Stat, bargauge: Bars, table: Table, 'state-timeline': Ribbons, heatmap: Heat }).map(
    ([id, component]) => {
      const plugin: any = new PanelPlugin(component as any);
      plugin.meta = { id, name: id, type: 'panel', module: '', baseUrl: '', sort: 1, info: { author: { name: '' }, description: '', links: [], logos: { large: '', small: '' }, screenshots: [], updated: '', version: '13.1.1' } };
      plugin.useFieldConfig({
        standardOptions: { color: { defaultValue: { mode: id === 'timeseries' ? 'palette-classic' : 'thresholds' } } },
        useCustomConfig: (builder: any) => CUSTOM.forEach((path) => builder.addCustomEditor({ ...property(path, true), id: path })),
      });
      return [id, plugin];
    }
  )
);
setPluginImportUtils({
  importPanelPlugin: async (id: string) => plugins.get(id),
  getPanelPluginFromCache: (id: string) => plugins.get(id),
} as any);

// --- The dashboard --------------------------------------------------------------------------------
const panelOf = (panel: any) =>
  new SceneGridItem({
    key: `panel-${panel.id}`, x: panel.gridPos.x, y: panel.gridPos.y, width: panel.gridPos.w, height: panel.gridPos.h,
    isResizable: false, isDraggable: false,
    body: new VizPanel({
      key: `viz-${panel.id}`, pluginId: panel.type, title: panel.title, description: panel.description, options: panel.options, fieldConfig: panel.fieldConfig,
      $data: new SceneDataTransformer({
        transformations: panel.transformations ?? [],
        $data: new SceneQueryRunner({
          datasource: panel.datasource, queries: panel.targets, minInterval: panel.interval, maxDataPoints: panel.maxDataPoints ?? 288,
        }),
      }),
    }),
  });
const children: any[] = [];
for (const panel of board.panels) {
  if (panel.type === 'row') {
    children.push(new SceneGridRow({ key: `row-${panel.id}`, title: panel.title, y: panel.gridPos.y, isCollapsible: false, isCollapsed: false, children: [] }));
  } else {
    const row = children.at(-1);
    if (row instanceof SceneGridRow) {
      row.setState({ children: [...row.state.children, panelOf(panel)] });
    } else {
      children.push(panelOf(panel));
    }
  }
}
const variables = board.templating.list.map((v: any) => {
  const common = { name: v.name, label: v.label };
  if (v.type === 'datasource') {
    return new DataSourceVariable({ ...common, pluginId: v.query, value: 'prometheus', text: 'Prometheus' });
  }
  const value = chosen[v.name] ?? v.current?.value ?? '';
  return new QueryVariable({
    ...common, datasource: v.datasource, query: v.query, isMulti: v.multi, includeAll: v.includeAll, sort: v.sort, refresh: v.refresh, value, text: value,
  });
});
const scene = new EmbeddedScene({
  $timeRange: new SceneTimeRange({ from: new Date(begin * 1000).toISOString(), to: new Date(end * 1000).toISOString(), timeZone: 'utc' }),
  $variables: new SceneVariableSet({ variables }),
  controls: [new VariableValueSelectors({}), new SceneControlsSpacer()],
  body: new SceneGridLayout({ children, isLazy: false }),
});
const Scene = scene.Component;
createRoot(document.getElementById('page')!).render(
  <MemoryRouter>
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ padding: 12, background: theme.colors.background.canvas, minHeight: '100vh', color: theme.colors.text.primary }}>
        <div style={{ fontSize: 18, marginBottom: 8 }}>{board.title}</div>
        <Scene model={scene} />
      </div>
    </ThemeContext.Provider>
  </MemoryRouter>
);

const wait = (ms: number) => new Promise((done) => setTimeout(done, ms));
// Resolves to what a reader would complain of, once every query has been answered and drawn.
(window as any).whenDrawn = async () => {
  const runners = () => sceneGraph.findAllObjects(scene, (o) => o instanceof SceneQueryRunner) as SceneQueryRunner[];
  for (let turn = 0; turn < 300 && !runners().every((r) => r.state.data?.state === LoadingState.Done); turn++) {
    await wait(100);
  }
  await wait(700);
  const text = document.body.innerText;
  return {
    panels: runners().length,
    titles: [...document.querySelectorAll('[data-viz-panel-key]')].length,
    height: document.getElementById('page')!.scrollHeight,
    problems: [
      ...problems,
      ...runners().filter((r) => r.state.data?.state !== LoadingState.Done).map((r) => `not answered: ${r.state.queries[0].expr}`),
      ...(sceneGraph.findAllObjects(scene, (o) => o instanceof VizPanel) as VizPanel[])
        .filter((panel) => !sceneGraph.getData(panel).state.data?.series.some((frame) => frame.length))
        .map((panel) => `empty: ${panel.state.title}`),
      ...(/No data/.test(text) ? ['a panel says "No data"'] : []),
      ...(/An unexpected error happened|Panel plugin not found/i.test(text) ? [text.slice(0, 500)] : []),
    ],
    text,
  };
};
