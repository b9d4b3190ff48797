/** The views that there are, by tab; the navigation shows these and no other. */
import type { Component } from 'svelte';
import { TABS, type Tab } from './route';
import AgentView from './views/AgentView.svelte';
import LogsView from './views/LogsView.svelte';
import MapView from './views/MapView.svelte';
import MetricsView from './views/MetricsView.svelte';
import OverviewView from './views/OverviewView.svelte';
import ServicesView from './views/ServicesView.svelte';
import SpansView from './views/SpansView.svelte';
import TracesView from './views/TracesView.svelte';

export const VIEWS: Readonly<Partial<Record<Tab, Component>>> = {
  overview: OverviewView,
  traces: TracesView,
  spans: SpansView,
  logs: LogsView,
  metrics: MetricsView,
  agent: AgentView,
  services: ServicesView,
  map: MapView,
};

export const TAB_NAMES: Readonly<Record<Tab, string>> = {
  overview: 'Overview',
  traces: 'Traces',
  spans: 'Spans',
  logs: 'Logs',
  metrics: 'Metrics',
  services: 'Services',
  map: 'Map',
  agent: 'Agent',
};

/** In the order of the navigation, which is also that of the keys 1 to 8. */
export const SHOWN_TABS: readonly Tab[] = TABS.filter((tab) => VIEWS[tab] !== undefined);
