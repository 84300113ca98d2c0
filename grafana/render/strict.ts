// The dashboards' types, strict: Grafana's own, with each panel's options and field settings in place
// of its "anything goes". Read by schema.mjs only.
import type * as raw from './node_modules/@grafana/schema/dist/types/raw/dashboard/x/types.gen';
import type * as bargauge from './node_modules/@grafana/schema/dist/types/raw/composable/bargauge/panelcfg/x/types.gen';
import type * as heatmap from './node_modules/@grafana/schema/dist/types/raw/composable/heatmap/panelcfg/x/types.gen';
import type * as stat from './node_modules/@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen';
import type * as timeline from './node_modules/@grafana/schema/dist/types/raw/composable/statetimeline/panelcfg/x/types.gen';
import type * as table from './node_modules/@grafana/schema/dist/types/raw/composable/table/panelcfg/x/types.gen';
import type * as timeseries from './node_modules/@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen';

interface PrometheusQuery {
  refId: string;
  datasource: { type: 'prometheus'; uid: string };
  expr: string;
  format: 'time_series' | 'table' | 'heatmap';
  editorMode: 'code';
  instant: boolean;
  range: boolean;
  legendFormat: string;
  exemplar?: boolean;
}
interface PrometheusAnnotation {
  name: string;
  datasource: { type: 'prometheus'; uid: string };
  enable: boolean;
  hide: boolean;
  iconColor: string;
  expr: string;
  step: string;
  titleFormat: string;
  textFormat: string;
  useValueForTime: boolean;
}
interface Variable extends raw.VariableModel {
  definition?: string;
}
interface PanelOf<Type extends string, Options, Custom>
  extends Omit<raw.Panel, 'type' | 'options' | 'fieldConfig' | 'targets'> {
  type: Type;
  id: number;
  title: string;
  description: string;
  targets: PrometheusQuery[];
  options: Partial<Options>;
  fieldConfig: { defaults: Omit<raw.FieldConfig, 'custom'> & { custom?: Partial<Custom> }; overrides: raw.FieldConfigSource['overrides'] };
}
// Options and FieldConfig are the same names in every module; each gets one of its own.
interface BarOptions extends bargauge.Options {}
interface HeatmapOptions extends heatmap.Options {}
interface HeatmapCustom extends heatmap.FieldConfig {}
interface StatOptions extends stat.Options {}
interface TimelineOptions extends timeline.Options {}
interface TimelineCustom extends timeline.FieldConfig {}
interface TableOptions extends table.Options {}
interface TableCustom extends table.FieldConfig {}
interface SeriesOptions extends timeseries.Options {}
interface SeriesCustom extends timeseries.FieldConfig {}

export interface Panel_bargauge extends PanelOf<'bargauge', BarOptions, {}> {}
export interface Panel_heatmap extends PanelOf<'heatmap', HeatmapOptions, HeatmapCustom> {}
export interface Panel_stat extends PanelOf<'stat', StatOptions, {}> {}
export interface Panel_state_timeline extends PanelOf<'state-timeline', TimelineOptions, TimelineCustom> {}
export interface Panel_table extends PanelOf<'table', TableOptions, TableCustom> {}
export interface Panel_timeseries extends PanelOf<'timeseries', SeriesOptions, SeriesCustom> {}
export interface Panel_row extends raw.RowPanel {}
export interface Board extends Omit<raw.Dashboard, 'panels' | 'templating' | 'annotations'> {
  panels: unknown[];
  templating: { list: Variable[] };
  annotations: { list: PrometheusAnnotation[] };
}
