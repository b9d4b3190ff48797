import { mount } from 'svelte';
import App from './App.svelte';
import './styles/palette.css';
import './styles/base.css';
import './styles/view.css';
import './styles/search.css';

const target = document.getElementById('app');
if (target) mount(App, { target });
